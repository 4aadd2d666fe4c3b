import type { OrganizationKeys, OrganizationRecord } from '../../core/crypto/key-ring.ts';
import type { RunStatus, Task } from '../../core/protocol/entities.ts';
import type {
  AddressChange,
  AlgorithmLog,
  AlgorithmStatusChange,
  KillContainers,
  NewTask,
} from '../../core/protocol/events.ts';

/**
 * The coordination server as a node sees it, ours or a Python 4.x one. Tokens are renewed inside. Methods throw
 * V6_SERVER_UNREACHABLE, V6_SERVER_ANSWER, V6_AUTH_API_KEY (key refused), V6_SERVER_REFUSED (4xx/5xx with the server's `msg`);
 * nothing is repeated blindly: only reads are.
 */
export interface Coordinator {
  readonly session: CoordinatorSession;
  readonly runs: CoordinatorRuns;
  readonly family: CoordinatorFamily;
  readonly vpn: CoordinatorVpn;
  readonly organizations: CoordinatorOrganizations;
  readonly events: CoordinatorEvents;
}

export interface NodeIdentity {
  readonly id: number;
  readonly name: string;
  readonly organization: number;
  readonly organizationName: string;
  readonly collaboration: number;
  readonly encrypted: boolean;
}

export interface CoordinatorSession {
  /** Base for REST, with api path: `http://host:port/api`. */
  readonly baseUrl: string;
  /** Logs in with the API key and reads who we are. */
  login(signal?: AbortSignal): Promise<NodeIdentity>;
}

/** A run that has not ended, with its task. */
export interface OpenRun {
  readonly id: number;
  readonly status: RunStatus;
  /** base64 */
  readonly input: string;
  /** The input is only the name of a blob (Python servers since 4.13 with `large_result_store`), which this node cannot read. */
  readonly isInBlobStore?: boolean;
  readonly startedAt: string | null;
  readonly task: Task;
  /** What the server lists for it. */
  readonly ports?: FamilyRun['ports'];
}

export interface RunPatch {
  readonly status?: RunStatus;
  readonly startedAt?: Date;
  readonly finishedAt?: Date;
  /** base64 of the payload. Upstream's server erases what a patch leaves out: send log and result together at the end. */
  readonly result?: string;
  readonly log?: string;
}

export interface CoordinatorRuns {
  /** Runs of this node without an end, oldest first; all pages. With `task`, of that task only. */
  listOpen(task?: number, signal?: AbortSignal): Promise<readonly OpenRun[]>;
  /** Whether any node still has a run of this task that has not ended. */
  hasOpenRuns(task: number, signal?: AbortSignal): Promise<boolean>;
  patch(run: number, patch: RunPatch, signal?: AbortSignal): Promise<void>;
  /** The token of the algorithm container of this task. */
  containerToken(task: number, image: string, signal?: AbortSignal): Promise<string>;
  registerPort(
    port: {
      readonly run: number;
      readonly port: number;
      readonly protocol: 'tcp' | 'udp';
      readonly label: string | null;
    },
    signal?: AbortSignal,
  ): Promise<void>;
  /** Removes all ports of the run. */
  clearPorts(run: number, signal?: AbortSignal): Promise<void>;
}

/** A run that has not ended, of any node, as its family sees it. */
export interface FamilyRun {
  readonly run: number;
  readonly task: number;
  /** Id of its node; undefined when the organization has none. */
  readonly node: number | undefined;
  /** The node's tunnel address as the server has it; null when it has none. */
  readonly address: string | null;
  /** `protocol` is undefined on a Python server, which does not tell. */
  readonly ports: readonly {
    readonly port: number;
    readonly protocol: 'tcp' | 'udp' | undefined;
  }[];
}

/** Who takes part in a task. */
export interface CoordinatorFamily {
  /** Runs of the task that have not ended, of all nodes; all pages. */
  openRuns(task: number, signal?: AbortSignal): Promise<readonly FamilyRun[]>;
  /** Ids of the child tasks that have not ended, among the newest 100. */
  openChildren(task: number, signal?: AbortSignal): Promise<readonly number[]>;
}

export interface CoordinatorOrganizations extends OrganizationKeys {
  /** Those of a collaboration; all pages. */
  list(collaboration: number, signal?: AbortSignal): Promise<readonly OrganizationRecord[]>;
}

export interface CoordinatorVpn {
  /** Stores or clears (null) the node's tunnel address. */
  setAddress(address: string | null, signal?: AbortSignal): Promise<void>;
  /** `GET /vpn`: a new client config. Server codes come through as `details.serverCode`. */
  fetchClientConfig(signal?: AbortSignal): Promise<string>;
  /** `POST /vpn/update`: the same lease with a new keypair. */
  renewClientConfig(current: string, signal?: AbortSignal): Promise<string>;
  /** `POST /vpn/release`, ours: what the portal holds for this node ends. Python servers answer V6_REQUEST_NOT_FOUND. */
  releaseLease(signal?: AbortSignal): Promise<void>;
}

/** Hints over the socket; the truth is re-read over HTTP. */
export interface CoordinatorEvents {
  /** Connects and stays connected until the signal aborts; `onSync` is called after each (re)connect. */
  listen(handlers: EventHandlers, signal: AbortSignal): void;
  emitStatus(change: AlgorithmStatusChange): void;
  /** Adds to the log of a run. Nothing tells whether it arrived; what was sent over a connection that ended may be lost. */
  emitLog(line: AlgorithmLog): void;
  readonly connected: boolean;
  /** Counts the connections: another number means another connection. 0 before the first. */
  readonly connection: number;
}

export interface EventHandlers {
  onSync(): void;
  onNewTask(task: NewTask): void;
  onKill(kill: KillContainers): void;
  /** The state of a run changed, of any node. */
  onStatus?(
    change: Pick<AlgorithmStatusChange, 'task_id' | 'parent_id' | 'node_id' | 'status'>,
  ): void;
  /** The tunnel address of a node changed. Only our server tells. */
  onAddressChange?(change: AddressChange): void;
}
