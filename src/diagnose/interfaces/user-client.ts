import type { OrganizationKeys } from '../../core/crypto/key-ring.ts';
import type { Collaboration, NodeEntity, Result, Run } from '../../core/protocol/entities.ts';

export interface TaskRequest {
  readonly collaboration: number;
  readonly image: string;
  readonly name: string;
  readonly description?: string;
  /** Ids; each gets a run with the same input. */
  readonly organizations: readonly number[];
  /** In an encrypted collaboration: payload → text for one organization. Without it the input goes in plain base64. */
  readonly seal?: (payload: Uint8Array, organization: number) => Promise<string>;
  readonly input: {
    readonly method: string;
    readonly args?: readonly unknown[];
    readonly kwargs?: Readonly<Record<string, unknown>>;
  };
}

/**
 * A coordination server as a logged-in user sees it, ours or a Python 4.x one. Lists hold all pages. The token is renewed
 * once when it has run out; nothing else is repeated. Methods throw V6_SERVER_UNREACHABLE, V6_SERVER_ANSWER,
 * V6_AUTH_TOKEN_EXPIRED (log in again), V6_AUTH_FORBIDDEN, V6_REQUEST_INVALID, V6_REQUEST_NOT_FOUND, V6_REQUEST_RATE and
 * V6_SERVER_REFUSED with the server's `msg`.
 */
export interface UserClient {
  listCollaborations(signal?: AbortSignal): Promise<readonly Collaboration[]>;
  listNodes(collaboration: number, signal?: AbortSignal): Promise<readonly NodeEntity[]>;
  /** Id of the user's organization. */
  ownOrganization(signal?: AbortSignal): Promise<number>;
  readonly organizations: OrganizationKeys;
  /** Creates a task; returns its id. */
  createTask(request: TaskRequest, signal?: AbortSignal): Promise<number>;
  listRuns(task: number, signal?: AbortSignal): Promise<readonly Run[]>;
  listResults(task: number, signal?: AbortSignal): Promise<readonly Result[]>;
  /** Ends a task; one that has ended is fine. */
  killTask(task: number, signal?: AbortSignal): Promise<void>;
}
