import type { Generated } from 'kysely';

/** Tables as Kysely sees them. Dates are ISO 8601 text in UTC with three decimals, so that text order is time order; booleans are 0 and 1. */
export interface Schema {
  meta: { key: string; value: string };
  authenticatable: {
    id: Generated<number>;
    type: 'user' | 'node';
    last_seen: string | null;
    token_generation: Generated<number>;
  };
  organization: {
    id: Generated<number>;
    name: string;
    domain: string | null;
    address1: string | null;
    address2: string | null;
    zipcode: string | null;
    country: string | null;
    public_key: string;
  };
  collaboration: { id: Generated<number>; name: string; encrypted: number };
  member: { organization_id: number; collaboration_id: number };
  node: {
    id: number;
    name: string;
    organization_id: number;
    collaboration_id: number;
    api_key_digest: string;
    ip: string | null;
    online: Generated<number>;
    config: Generated<string>;
    vpn_id: string;
  };
  role: {
    id: Generated<number>;
    name: string;
    description: string;
    is_default: Generated<number>;
    organization_id: number | null;
  };
  rule: { id: number; resource: string; operation: string; scope: string; description: string };
  role_rule: { role_id: number; rule_id: number };
  user_rule: { user_id: number; rule_id: number };
  study: { id: Generated<number>; name: string; collaboration_id: number };
  study_member: { study_id: number; organization_id: number };
  user: {
    id: number;
    username: string;
    firstname: string;
    lastname: string;
    email: string;
    organization_id: number;
    password_hash: string;
  };
  user_role: { user_id: number; role_id: number };
  job: { id: Generated<number>; created_at: string };
  task: {
    id: Generated<number>;
    job_id: number;
    name: string;
    description: string;
    image: string;
    collaboration_id: number;
    parent_id: number | null;
    init_org_id: number;
    init_user_id: number | null;
    created_at: string;
    study_id: number | null;
  };
  task_database: { task_id: number; position: number; label: string; parameters: string };
  run: {
    id: Generated<number>;
    task_id: number;
    organization_id: number;
    status: string;
    input: string;
    result: string | null;
    log: string | null;
    assigned_at: string;
    started_at: string | null;
    finished_at: string | null;
    kill_pending: Generated<number>;
    cleanup_at: string | null;
  };
  port: {
    id: Generated<number>;
    run_id: number;
    node_id: number;
    protocol: 'tcp' | 'udp';
    port: number;
    label: string | null;
  };
  replica: { id: string; seen_at: number; key_mark: string };
  replica_node: { replica_id: string; node_id: number };
  vpn_grant: {
    node_id: number;
    current: Generated<string | null>;
    previous: Generated<string | null>;
    profile: Generated<string | null>;
    issued_at: Generated<string | null>;
    expires_at: Generated<string | null>;
    revoked_at: Generated<string | null>;
  };
  session: {
    id: string;
    account_id: number;
    sequence: number;
    confirmed: number;
    source: string | null;
    created_at: string;
    rotated_at: string;
    expires_at: string;
    ended_at: string | null;
  };
  second_factor: {
    user_id: number;
    secret: string | null;
    pending: string | null;
    last_step: number;
  };
  recovery: { digest: string; user_id: number; purpose: string; expires_at: string };
  mail: { user_id: number; kind: string; sent_at: string };
  attempt: { key: string; count: number; highest: number; slides: number; until: string };
  known_source: { key: string; seen_at: string };
}
