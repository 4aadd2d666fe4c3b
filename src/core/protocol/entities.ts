/**
 * The JSON bodies of the vantage6 4.x REST interface, as far as we use them: what a server of ours (or a Python
 * one) answers. Source: vantage6 4.14 server, resource/common/output_schema.py.
 * Dates on the wire are naive ISO 8601 in UTC.
 */

/** A related record: never the record itself, never `x_id`. */
export interface Relation {
  readonly id: number;
  readonly link: string;
  readonly methods: readonly string[];
}

export interface Page<T> {
  readonly data: readonly T[];
  /** Paths from the root; `next` is absent on the last page. */
  readonly links: {
    readonly first?: string;
    readonly previous?: string;
    readonly self?: string;
    readonly next?: string;
    readonly last?: string;
  };
}

export interface TokenAnswer {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly refresh_url: string;
  readonly user_url?: string;
  readonly node_url?: string;
}

export interface Organization {
  readonly id: number;
  readonly name: string;
  readonly public_key: string;
}

export interface Collaboration {
  readonly id: number;
  readonly name: string;
  readonly encrypted: boolean;
}

export interface NodeEntity {
  readonly id: number;
  readonly name: string;
  readonly type: 'node';
  readonly status: 'online' | 'offline' | null;
  /** VPN address. */
  readonly ip: string | null;
  readonly last_seen: string | null;
  readonly organization: Relation;
  readonly collaboration: Relation;
  readonly config: readonly { readonly key: string; readonly value: string }[];
}

/** All statuses of vantage6 4.x; see `isFinished` and `isFailed`. */
export const RUN_STATUSES = [
  'pending',
  'initializing',
  'active',
  'completed',
  'failed',
  'start failed',
  'non-existing Docker image',
  'crashed',
  'killed by user',
  'not allowed',
  'unknown error',
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

export const isFailed = (status: RunStatus): boolean =>
  !['pending', 'initializing', 'active', 'completed'].includes(status);
export const isFinished = (status: RunStatus): boolean =>
  status === 'completed' || isFailed(status);

/**
 * Status of a task from those of its runs: failed ones win (their own word when all agree), then active, initializing,
 * pending; no run at all counts as completed (vantage6 4.14 server, model/task.py:status).
 */
export function taskStatus(runs: readonly RunStatus[]): RunStatus {
  const failed = runs.filter(isFailed);
  const [first] = failed;
  if (first !== undefined) return failed.every((status) => status === first) ? first : 'failed';
  for (const open of ['active', 'initializing', 'pending'] as const) {
    if (runs.includes(open)) return open;
  }
  return 'completed';
}

export interface TaskDatabase {
  readonly label: string;
  /** JSON text. */
  readonly parameters: string;
}

export interface Task {
  readonly id: number;
  readonly job_id: number;
  readonly name: string;
  readonly description: string;
  readonly image: string;
  readonly status: RunStatus;
  readonly created_at: string;
  readonly finished_at: string | null;
  readonly databases: readonly TaskDatabase[];
  readonly collaboration: Relation;
  readonly init_org: Relation;
  readonly init_user: Relation;
  readonly parent: Relation | null;
  readonly study: Relation | null;
  readonly algorithm_store: Relation | null;
}

export interface RunPort {
  readonly id: number;
  readonly port: number;
  readonly label: string | null;
  /** Ours, beside upstream's fields; absent from a Python server. */
  readonly protocol?: 'tcp' | 'udp';
}

export interface Run {
  readonly id: number;
  readonly status: RunStatus;
  /** base64 of the payload. */
  readonly input: string;
  readonly log: string | null;
  readonly assigned_at: string | null;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly blob_storage_used: boolean | null;
  readonly organization: Relation;
  /** A relation, or the whole task with `include=task`. */
  readonly task: Relation | Task;
  readonly node: {
    readonly id?: number;
    readonly name?: string;
    readonly ip?: string | null;
    readonly status?: string | null;
  };
  readonly ports: readonly RunPort[];
}

export interface Result {
  readonly id: number;
  readonly result: string | null;
  readonly blob_storage_used: boolean | null;
  readonly run: Relation;
  readonly task: Relation;
}

/** One line of `GET /vpn/algorithm/addresses`. */
export interface AlgorithmAddress {
  /** Tunnel address of the node. */
  readonly ip: string | null;
  /** Tunnel port, 49152–65534. */
  readonly port: number;
  readonly label: string | null;
  readonly organization_id: number;
  readonly task_id: number;
  readonly parent_id: number | null;
  /** Ours; absent from a Python server. */
  readonly protocol?: 'tcp' | 'udp';
}

/** Body of an error, from any server. */
export interface ErrorBody {
  readonly msg: string;
  readonly code?: string;
  readonly errors?: Readonly<Record<string, unknown>>;
}
