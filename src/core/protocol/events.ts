/**
 * socket.io events in namespace `/tasks` (vantage6 4.14 server, websockets.py). Events are hints: a node that missed one
 * is correct again after its next re-read over HTTP.
 */
export const SOCKET_NAMESPACE = '/tasks';

export interface NewTask {
  readonly id: number;
  readonly parent_id: number | null;
}

export interface KillContainers {
  readonly collaboration_id: number;
  readonly node_id?: number;
  readonly kill_list?: readonly {
    readonly task_id: number;
    readonly run_id: number;
    readonly organization_id: number;
  }[];
}

export interface AlgorithmStatusChange {
  readonly run_id: number;
  readonly task_id: number;
  readonly collaboration_id: number;
  readonly node_id: number;
  readonly status: string;
  readonly organization_id: number;
  readonly parent_id: number | null;
  readonly job_id?: number;
}

export interface AlgorithmLog {
  readonly collaboration_id: number;
  readonly run_id: number;
  readonly task_id: number;
  /** One line or several; the server adds a newline between two of these. */
  readonly log: string;
}

/** Ours: a node has another tunnel address, or none any more. Nodes that have runs together with it read their families again. */
export interface AddressChange {
  readonly node_id: number;
  readonly collaboration_id: number;
}

export interface ServerToClient {
  sync: () => void;
  expired_token: () => void;
  invalid_token: () => void;
  message: (text: string) => void;
  'node-online': (node: { id: number; name: string; org_id: number }) => void;
  'node-offline': (node: { id: number; name: string; org_id: number }) => void;
  new_task: (task: NewTask) => void;
  status_update: (change: { run_id: number }) => void;
  algorithm_status_change: (change: AlgorithmStatusChange) => void;
  algorithm_log: (line: { run_id: number; task_id: number; log: string }) => void;
  kill_containers: (kill: KillContainers) => void;
  address_change: (change: AddressChange) => void;
}

export interface ClientToServer {
  ping: () => void;
  algorithm_status_change: (change: AlgorithmStatusChange) => void;
  algorithm_log: (line: AlgorithmLog) => void;
  node_info_update: (info: Readonly<Record<string, unknown>>) => void;
  node_metrics_update: (report: Readonly<Record<string, unknown>>) => void;
  message: (text: string) => void;
}
