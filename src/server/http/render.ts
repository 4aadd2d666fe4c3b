import type { Relation, RunPort } from '../../core/protocol/entities.ts';
import type {
  CollaborationRecord,
  NodeRecord,
  OrganizationRecord,
  PortRecord,
  RoleRecord,
  RuleRecord,
  RunRecord,
  StudyRecord,
  TaskRecord,
  UserRecord,
} from '../interfaces/records.ts';

/** Records as JSON, in upstream's shapes (vantage6 4.14 server, resource/common/output_schema.py); links start with the api path. */
export type Render = ReturnType<typeof createRender>;

const METHODS = {
  organization: ['DELETE', 'GET', 'PATCH'],
  collaboration: ['DELETE', 'GET', 'PATCH'],
  node: ['DELETE', 'GET', 'PATCH'],
  user: ['DELETE', 'GET', 'PATCH'],
  study: ['DELETE', 'GET', 'PATCH'],
  task: ['DELETE', 'GET'],
  run: ['GET', 'PATCH'],
  result: ['GET'],
} as const;

/** Naive ISO 8601 in UTC, six decimals when there is a fraction. */
export function renderDate(at: Date | null): string | null {
  if (at === null) return null;
  const text = at.toISOString().slice(0, -1);
  return text.endsWith('.000') ? text.slice(0, -4) : `${text}000`;
}

const port = ({ id, port: number, label, protocol }: PortRecord): RunPort => ({
  id,
  port: number,
  label,
  protocol,
});

export function createRender(apiPath: string) {
  const to = (resource: keyof typeof METHODS, id: number): Relation => ({
    id,
    link: `${apiPath}/${resource}/${id}`,
    methods: METHODS[resource],
  });
  const toOptional = (resource: keyof typeof METHODS, id: number | null): Relation | null =>
    id === null ? null : to(resource, id);

  const organization = ({ publicKey, ...row }: OrganizationRecord) => ({
    ...row,
    public_key: publicKey,
    collaborations: `${apiPath}/collaboration?organization_id=${row.id}`,
    nodes: `${apiPath}/node?organization_id=${row.id}`,
    users: `${apiPath}/user?organization_id=${row.id}`,
    tasks: `${apiPath}/task?init_org_id=${row.id}`,
    runs: `${apiPath}/run?organization_id=${row.id}`,
    studies: `${apiPath}/study?organization_id=${row.id}`,
  });

  const collaboration = (row: CollaborationRecord) => ({
    ...row,
    organizations: `${apiPath}/organization?collaboration_id=${row.id}`,
    nodes: `${apiPath}/node?collaboration_id=${row.id}`,
    tasks: `${apiPath}/task?collaboration_id=${row.id}`,
    studies: `${apiPath}/study?collaboration_id=${row.id}`,
    algorithm_stores: `${apiPath}/algorithmstore?collaboration_id=${row.id}`,
  });

  const node = (row: NodeRecord) => ({
    id: row.id,
    name: row.name,
    type: 'node' as const,
    status: row.isOnline ? ('online' as const) : ('offline' as const),
    ip: row.ip,
    last_seen: renderDate(row.lastSeenAt),
    organization: to('organization', row.organizationId),
    collaboration: to('collaboration', row.collaborationId),
    config: row.config,
  });

  const user = (row: UserRecord) => ({
    id: row.id,
    username: row.username,
    firstname: row.firstname,
    lastname: row.lastname,
    email: row.email,
    type: 'user' as const,
    // Only nodes are on or off line, and only they have an address.
    status: null,
    ip: null,
    last_seen: renderDate(row.lastSeenAt),
    organization: to('organization', row.organizationId),
    roles: `${apiPath}/role?user_id=${row.id}`,
    rules: `${apiPath}/rule?user_id=${row.id}`,
  });

  const role = (row: RoleRecord) => ({
    id: row.id,
    name: row.name,
    description: row.description,
    is_default_role: row.isDefault,
    organization: toOptional('organization', row.organizationId),
    rules: `${apiPath}/rule?role_id=${row.id}`,
    users: `${apiPath}/user?role_id=${row.id}`,
  });

  /** Upstream calls the resource `name`, and writes the names of its enumerations. */
  const rule = (row: RuleRecord) => ({
    id: row.id,
    name: row.resource,
    operation: row.operation.toUpperCase(),
    scope: row.scope.toUpperCase(),
    description: row.description,
    users: `${apiPath}/user?rule_id=${row.id}`,
  });

  const study = (row: StudyRecord) => ({
    id: row.id,
    name: row.name,
    collaboration: to('collaboration', row.collaborationId),
    organizations: `${apiPath}/organization?study_id=${row.id}`,
    tasks: `${apiPath}/task?study_id=${row.id}`,
  });

  const task = (row: TaskRecord) => ({
    id: row.id,
    job_id: row.jobId,
    name: row.name,
    description: row.description,
    image: row.image,
    status: row.status,
    created_at: renderDate(row.createdAt) ?? '',
    finished_at: renderDate(row.finishedAt),
    databases: row.databases,
    collaboration: to('collaboration', row.collaborationId),
    init_org: to('organization', row.initOrganizationId),
    init_user: toOptional('user', row.initUserId),
    parent: toOptional('task', row.parentId),
    study: toOptional('study', row.studyId),
    algorithm_store: null,
    children: `${apiPath}/task?parent_id=${row.id}`,
    runs: `${apiPath}/run?task_id=${row.id}`,
    results: `${apiPath}/result?task_id=${row.id}`,
  });

  const run = (row: RunRecord, ownTask?: TaskRecord) => ({
    id: row.id,
    status: row.status,
    input: row.input,
    log: row.log,
    assigned_at: renderDate(row.assignedAt),
    started_at: renderDate(row.startedAt),
    finished_at: renderDate(row.finishedAt),
    cleanup_at: renderDate(row.cleanupAt),
    blob_storage_used: false,
    organization: to('organization', row.organizationId),
    task: ownTask === undefined ? to('task', row.taskId) : task(ownTask),
    results: to('result', row.id),
    node:
      row.node === null
        ? {}
        : {
            id: row.node.id,
            name: row.node.name,
            ip: row.node.ip,
            status: row.node.isOnline ? 'online' : 'offline',
          },
    ports: row.ports.map(port),
  });

  const result = (row: RunRecord) => ({
    id: row.id,
    result: row.result,
    blob_storage_used: false,
    cleanup_at: renderDate(row.cleanupAt),
    run: to('run', row.id),
    task: to('task', row.taskId),
  });

  return { organization, collaboration, study, node, user, role, rule, task, run, result, port };
}
