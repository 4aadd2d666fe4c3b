import type { RunStatus } from '../../core/protocol/entities.ts';
import type {
  AttemptStore,
  RecoveryStore,
  SecondFactorStore,
  SessionStore,
} from './account-store.ts';
import type { PageRequest, Pattern, Rows } from './paging.ts';
import type {
  CollaborationRecord,
  ConfigEntry,
  NodeRecord,
  OrganizationRecord,
  PortRecord,
  RoleRecord,
  RunRecord,
  TaskDatabaseRecord,
  TaskRecord,
  UserRecord,
  VpnGrantRecord,
} from './records.ts';
import type { ReplicaStore } from './replica-store.ts';
import type { RoleStore, RuleStore, StudyStore } from './rights-store.ts';

export type { PageRequest, Pattern, Rows } from './paging.ts';

/**
 * The database. Every method throws V6_DATABASE when it cannot be asked, V6_REQUEST_CONFLICT when a unique value is taken.
 * `find…` gives undefined for what is not there; an empty list means that there is nothing.
 * What a resolved promise has written is on disk.
 */
export interface Store {
  readonly organizations: OrganizationStore;
  readonly collaborations: CollaborationStore;
  readonly nodes: NodeStore;
  readonly users: UserStore;
  readonly roles: RoleStore;
  readonly rules: RuleStore;
  readonly studies: StudyStore;
  readonly tasks: TaskStore;
  readonly runs: RunStore;
  readonly ports: PortStore;
  readonly vpnGrants: VpnGrantStore;
  readonly meta: MetaStore;
  readonly sessions: SessionStore;
  readonly secondFactors: SecondFactorStore;
  readonly recoveries: RecoveryStore;
  readonly attempts: AttemptStore;
  readonly replicas: ReplicaStore;
  /** Several processes may use the database at once: PostgreSQL. */
  readonly isShared: boolean;
  /**
   * All or nothing, and as if no other transaction ran beside it. Inside, only the store that is handed in may be used, and a
   * failed call ends the transaction (PostgreSQL). `work` may run several times: it changes nothing but the database.
   */
  transaction<T>(work: (store: Store) => Promise<T>): Promise<T>;
  /** Runs `work` while no replica runs another one of this name; for what reaches outside the database. Not in a transaction. */
  exclusively<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Reads one row, and looks whether writes are possible. Throws V6_DATABASE. */
  check(): Promise<void>;
  close(): Promise<void>;
}

export interface OrganizationFilter {
  readonly ids?: readonly number[] | undefined;
  readonly name?: Pattern | undefined;
  readonly country?: string | undefined;
  readonly collaborationId?: number | undefined;
  readonly studyId?: number | undefined;
}

export type OrganizationFields = Omit<OrganizationRecord, 'id'>;

export interface OrganizationStore {
  find(id: number): Promise<OrganizationRecord | undefined>;
  list(filter: OrganizationFilter, page: PageRequest): Promise<Rows<OrganizationRecord>>;
  create(fields: OrganizationFields): Promise<number>;
  update(id: number, fields: Partial<OrganizationFields>): Promise<void>;
  /** Removes it with its nodes, users and runs. */
  remove(id: number): Promise<void>;
}

export interface CollaborationFilter {
  readonly ids?: readonly number[] | undefined;
  readonly name?: Pattern | undefined;
  readonly encrypted?: boolean | undefined;
  readonly organizationId?: number | undefined;
}

export interface CollaborationStore {
  find(id: number): Promise<CollaborationRecord | undefined>;
  list(filter: CollaborationFilter, page: PageRequest): Promise<Rows<CollaborationRecord>>;
  create(fields: Omit<CollaborationRecord, 'id'>): Promise<number>;
  update(
    id: number,
    fields: { readonly name?: string | undefined; readonly encrypted?: boolean | undefined },
  ): Promise<void>;
  /** Removes it with its nodes and tasks. */
  remove(id: number): Promise<void>;
  /** Ids of the organizations in it. */
  members(id: number): Promise<readonly number[]>;
  /** Ids of the collaborations that an organization is in. */
  ofOrganization(organization: number): Promise<readonly number[]>;
  setMembers(id: number, organizations: readonly number[]): Promise<void>;
}

export interface NodeFilter {
  readonly ids?: readonly number[] | undefined;
  readonly name?: Pattern | undefined;
  readonly organizationIds?: readonly number[] | undefined;
  readonly collaborationIds?: readonly number[] | undefined;
  readonly isOnline?: boolean | undefined;
  readonly ip?: string | undefined;
  /** Nodes of the study's organizations in its collaboration. */
  readonly studyId?: number | undefined;
  readonly lastSeen?: Period | undefined;
}

export interface NodeChanges {
  readonly name?: string | undefined;
  readonly collaborationId?: number | undefined;
  readonly ip?: string | null | undefined;
  readonly apiKeyDigest?: string | undefined;
  readonly isOnline?: boolean | undefined;
  readonly lastSeenAt?: Date | undefined;
  readonly config?: readonly ConfigEntry[] | undefined;
  /** Ends all tokens given out before. */
  readonly endTokens?: true | undefined;
}

export interface NodeStore {
  find(id: number): Promise<NodeRecord | undefined>;
  findByKeyDigest(digest: string): Promise<NodeRecord | undefined>;
  list(filter: NodeFilter, page: PageRequest): Promise<Rows<NodeRecord>>;
  create(fields: {
    readonly name: string;
    readonly organizationId: number;
    readonly collaborationId: number;
    readonly apiKeyDigest: string;
    readonly vpnId: string;
  }): Promise<number>;
  update(id: number, changes: NodeChanges): Promise<void>;
  /** Removes it with its ports and what the portal gave it. */
  remove(id: number): Promise<void>;
}

export interface UserFilter {
  readonly username?: Pattern | undefined;
  readonly firstname?: Pattern | undefined;
  readonly lastname?: Pattern | undefined;
  readonly email?: Pattern | undefined;
  readonly organizationIds?: readonly number[] | undefined;
  /** Users of the organizations in it. */
  readonly collaborationId?: number | undefined;
  readonly roleId?: number | undefined;
  /** Given directly or through a role. */
  readonly ruleId?: number | undefined;
  readonly lastSeen?: Period | undefined;
}

export interface UserFields {
  readonly username: string;
  readonly firstname: string;
  readonly lastname: string;
  readonly email: string;
  readonly organizationId: number;
  readonly passwordHash: string;
  readonly roles: readonly number[];
  /** Rules beside the roles; default none. */
  readonly rules?: readonly number[];
}

export interface UserStore {
  find(id: number): Promise<UserRecord | undefined>;
  /** By exact name; with the password's hash, which is in no other answer. */
  findLogin(
    username: string,
  ): Promise<{ readonly user: UserRecord; readonly passwordHash: string } | undefined>;
  findByEmail(email: string): Promise<UserRecord | undefined>;
  list(filter: UserFilter, page: PageRequest): Promise<Rows<UserRecord>>;
  create(fields: UserFields): Promise<number>;
  update(
    id: number,
    changes: Partial<UserFields> & { readonly lastSeenAt?: Date; readonly endTokens?: true },
  ): Promise<void>;
  remove(id: number): Promise<void>;
  /** All roles, by id. */
  roles(): Promise<readonly RoleRecord[]>;
}

export interface TaskFilter {
  readonly ids?: readonly number[] | undefined;
  readonly collaborationIds?: readonly number[] | undefined;
  readonly initOrganizationId?: number | undefined;
  readonly initUserId?: number | undefined;
  readonly parentId?: number | undefined;
  readonly jobId?: number | undefined;
  readonly runId?: number | undefined;
  readonly name?: Pattern | undefined;
  readonly image?: Pattern | undefined;
  readonly description?: Pattern | undefined;
  /** False: sub-tasks only. */
  readonly isTopLevel?: boolean | undefined;
  readonly studyId?: number | undefined;
  /** Label of a database. */
  readonly database?: string | undefined;
  /** Of the task as a whole. */
  readonly status?: RunStatus | undefined;
}

export interface NewTaskFields {
  readonly name: string;
  readonly description: string;
  readonly image: string;
  readonly collaborationId: number;
  /** Default none. */
  readonly studyId?: number | null | undefined;
  /** Undefined for a new job. */
  readonly jobId: number | undefined;
  readonly parentId: number | null;
  readonly initOrganizationId: number;
  readonly initUserId: number | null;
  readonly createdAt: Date;
  readonly databases: readonly TaskDatabaseRecord[];
  readonly runs: readonly { readonly organizationId: number; readonly input: string }[];
}

export interface TaskStore {
  find(id: number): Promise<TaskRecord | undefined>;
  list(filter: TaskFilter, page: PageRequest): Promise<Rows<TaskRecord>>;
  /** The task with its databases and runs, in one transaction. */
  create(fields: NewTaskFields): Promise<number>;
  /** Ids of the task and of all tasks below it, on all levels. */
  family(id: number): Promise<readonly number[]>;
  /** Removes it with its runs, ports and all tasks below it. */
  remove(id: number): Promise<void>;
}

/** From inclusive, until inclusive. */
export interface Period {
  readonly from?: Date | undefined;
  readonly till?: Date | undefined;
}

export interface RunFilter {
  readonly ids?: readonly number[] | undefined;
  readonly taskIds?: readonly number[] | undefined;
  readonly organizationId?: number | undefined;
  readonly collaborationIds?: readonly number[] | undefined;
  readonly isOpen?: boolean | undefined;
  readonly status?: RunStatus | undefined;
  readonly isKillPending?: boolean | undefined;
  readonly initOrganizationId?: number | undefined;
  readonly initUserId?: number | undefined;
  readonly assigned?: Period | undefined;
  readonly started?: Period | undefined;
  readonly finished?: Period | undefined;
  /** Open, not started, and their node is away or gone. */
  readonly isWaiting?: true | undefined;
  /** Runs that have registered this tunnel port. */
  readonly port?: number | undefined;
}

export interface RunChanges {
  readonly status?: RunStatus | undefined;
  readonly startedAt?: Date | undefined;
  readonly finishedAt?: Date | undefined;
  readonly result?: string | undefined;
  readonly log?: string | undefined;
  readonly isKillPending?: boolean | undefined;
}

export interface RunStore {
  find(id: number): Promise<RunRecord | undefined>;
  /** The run of an organization in a task: there is one at most. */
  findOfTask(taskId: number, organizationId: number): Promise<RunRecord | undefined>;
  list(filter: RunFilter, page: PageRequest): Promise<Rows<RunRecord>>;
  update(id: number, changes: RunChanges): Promise<void>;
  /** Empties the result of runs that ended before, oldest first, and notes when; how many. Those that are noted are left alone. */
  blank(old: {
    readonly endedBefore: Date;
    readonly at: Date;
    readonly includesInput: boolean;
    readonly limit: number;
  }): Promise<number>;
}

/** Whose addresses an algorithm asks for. */
export interface AddressQuery {
  readonly runId: number;
  readonly taskId: number;
  readonly organizationId: number;
  readonly tasks: {
    readonly own: boolean;
    readonly children: boolean;
    readonly parentId: number | undefined;
  };
  readonly organizations: 'all' | 'own' | 'others';
  readonly label: string | undefined;
}

export interface PortStore {
  find(id: number): Promise<PortRecord | undefined>;
  /** Unique per (node, protocol, port): V6_REQUEST_CONFLICT. */
  create(fields: Omit<PortRecord, 'id'> & { readonly nodeId: number }): Promise<number>;
  /** Who holds this port of the node. */
  findHolder(
    nodeId: number,
    protocol: 'tcp' | 'udp',
    port: number,
  ): Promise<PortRecord | undefined>;
  setLabel(id: number, label: string | null): Promise<void>;
  list(
    filter: {
      readonly runId?: number | undefined;
      readonly collaborationIds?: readonly number[] | undefined;
      readonly organizationId?: number | undefined;
    },
    page: PageRequest,
  ): Promise<Rows<PortRecord>>;
  removeOfRuns(runs: readonly number[]): Promise<void>;
  /**
   * JSON of a list of AlgorithmAddress (core/protocol/entities.ts), with one query. Own ports always; others' when their run is
   * active and their node online with an address.
   */
  addresses(query: AddressQuery): Promise<string>;
}

export interface VpnGrantStore {
  find(nodeId: number): Promise<VpnGrantRecord | undefined>;
  /** Of all nodes, by node. */
  list(): Promise<readonly VpnGrantRecord[]>;
  /** All but `revokedAt`, which another process may set meanwhile. */
  save(grant: Omit<VpnGrantRecord, 'revokedAt'>): Promise<void>;
  /** Keeps what is stored beside it. */
  setRevoked(nodeId: number, at: Date | null): Promise<void>;
  remove(nodeId: number): Promise<void>;
}

export interface MetaStore {
  find(key: string): Promise<string | undefined>;
  set(key: string, value: string): Promise<void>;
}
