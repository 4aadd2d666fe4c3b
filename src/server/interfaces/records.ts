import type { RunStatus } from '../../core/protocol/entities.ts';

/** What the server stores, after parsing; points in time are Dates. Ids are positive and never used again. */
export interface OrganizationRecord {
  readonly id: number;
  readonly name: string;
  readonly domain: string | null;
  readonly address1: string | null;
  readonly address2: string | null;
  readonly zipcode: string | null;
  readonly country: string | null;
  /** base64 of the PEM text, empty when none. */
  readonly publicKey: string;
}

export interface CollaborationRecord {
  readonly id: number;
  readonly name: string;
  readonly encrypted: boolean;
}

export interface ConfigEntry {
  readonly key: string;
  readonly value: string;
}

export interface NodeRecord {
  readonly id: number;
  readonly name: string;
  readonly organizationId: number;
  readonly collaborationId: number;
  /** Tunnel address. It stays when the node goes offline, and is not served then. */
  readonly ip: string | null;
  readonly isOnline: boolean;
  readonly lastSeenAt: Date | null;
  /** What the node tells of its configuration; empty while it is offline. */
  readonly config: readonly ConfigEntry[];
  /** Names the node to the VPN portal for its whole life; a UUID. */
  readonly vpnId: string;
  /** Part of every token; raising it ends all tokens given out before. */
  readonly tokenGeneration: number;
}

export type Scope = 'own' | 'organization' | 'collaboration' | 'global';
export type Operation = 'view' | 'edit' | 'create' | 'delete' | 'send' | 'receive';
export type Resource =
  | 'node'
  | 'collaboration'
  | 'organization'
  | 'task'
  | 'run'
  | 'user'
  | 'role'
  | 'study'
  | 'port'
  | 'event';

/** A right. The set of rules is fixed, ids included; roles and users are given some of them. */
export interface RuleRecord {
  readonly id: number;
  readonly resource: Resource;
  readonly operation: Operation;
  readonly scope: Scope;
  readonly description: string;
}

/** A named set of rules. */
export interface RoleRecord {
  readonly id: number;
  readonly name: string;
  readonly description: string;
  /** One of the fixed roles, which nobody changes. */
  readonly isDefault: boolean;
  /** Null: for all organizations, as the fixed ones are. */
  readonly organizationId: number | null;
}

/** Some organizations of a collaboration. */
export interface StudyRecord {
  readonly id: number;
  readonly name: string;
  readonly collaborationId: number;
}

export interface UserRecord {
  readonly id: number;
  readonly username: string;
  readonly firstname: string;
  readonly lastname: string;
  readonly email: string;
  readonly organizationId: number;
  readonly lastSeenAt: Date | null;
  readonly roles: readonly RoleRecord[];
  /** Ids of the rules that the user was given beside the roles. */
  readonly ruleIds: readonly number[];
  readonly tokenGeneration: number;
}

export interface TaskDatabaseRecord {
  readonly label: string;
  /** JSON text of an object. */
  readonly parameters: string;
}

export interface TaskRecord {
  readonly id: number;
  /** Shared by a task and all its sub-tasks. */
  readonly jobId: number;
  readonly name: string;
  readonly description: string;
  readonly image: string;
  readonly collaborationId: number;
  /** Null: for the whole collaboration. */
  readonly studyId: number | null;
  readonly parentId: number | null;
  readonly initOrganizationId: number;
  /** Null when the user was deleted. */
  readonly initUserId: number | null;
  readonly createdAt: Date;
  readonly databases: readonly TaskDatabaseRecord[];
  /** Of the task as a whole, computed from its runs. */
  readonly status: RunStatus;
  /** Latest end of its runs, when the status is `completed`. */
  readonly finishedAt: Date | null;
}

export interface PortRecord {
  readonly id: number;
  readonly runId: number;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly label: string | null;
}

export interface RunRecord {
  readonly id: number;
  readonly taskId: number;
  readonly jobId: number;
  readonly parentId: number | null;
  readonly studyId: number | null;
  readonly collaborationId: number;
  readonly organizationId: number;
  readonly status: RunStatus;
  /** base64, or encrypted text. */
  readonly input: string;
  readonly result: string | null;
  readonly log: string | null;
  readonly assignedAt: Date;
  readonly startedAt: Date | null;
  /** The run is open until this is set. */
  readonly finishedAt: Date | null;
  /** When its data was blanked; null while it is there. */
  readonly cleanupAt: Date | null;
  /** Killed here, and the node has not said yet that it knows. */
  readonly isKillPending: boolean;
  readonly initUserId: number | null;
  readonly initOrganizationId: number;
  /** The organization's node in the collaboration; null when it was deleted. */
  readonly node: {
    readonly id: number;
    readonly name: string;
    readonly ip: string | null;
    readonly isOnline: boolean;
  } | null;
  readonly ports: readonly PortRecord[];
}

/** What the VPN portal gave us for one node. Texts are encrypted before they come here. */
export interface VpnGrantRecord {
  readonly nodeId: number;
  /** Encrypted tokens of the authorization in use. */
  readonly current: string | null;
  /** Encrypted tokens of one that is still to be ended. */
  readonly previous: string | null;
  readonly profile: string | null;
  /** When the configuration in use was issued. */
  readonly issuedAt: Date | null;
  readonly expiresAt: Date | null;
  /** Set: an administrator took the VPN from this node, and it gets none until it is allowed again. */
  readonly revokedAt: Date | null;
}
