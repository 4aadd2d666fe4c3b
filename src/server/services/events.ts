import type { Logger } from '../../core/logger.ts';
import type { KillContainers, NewTask } from '../../core/protocol/events.ts';
import type { NodeRecord } from '../interfaces/records.ts';

/** What others hear of. Published after the change is stored, so that who re-reads at once sees it. */
export type ServerEvent =
  | { readonly type: 'new-task'; readonly collaborationId: number; readonly task: NewTask }
  | { readonly type: 'run-changed'; readonly collaborationId: number; readonly runId: number }
  | { readonly type: 'kill'; readonly kill: KillContainers }
  | { readonly type: 'node-online' | 'node-offline'; readonly node: NodeRecord }
  /** Its tokens or the account itself ended: its sockets go. */
  | { readonly type: 'account-ended'; readonly accountId: number }
  /** Organizations whose collaborations changed. */
  | { readonly type: 'members-changed'; readonly organizationIds: readonly number[] };

export interface Events {
  publish(event: ServerEvent): void;
}

export interface EventHub extends Events {
  subscribe(listener: (event: ServerEvent) => void): void;
}

/** Events are hints: a listener that fails is logged, and who published goes on. */
export function createEventHub(logger: Logger): EventHub {
  const listeners: ((event: ServerEvent) => void)[] = [];
  return {
    publish: (event) => {
      for (const listener of listeners) {
        try {
          listener(event);
        } catch (error) {
          logger.error('An event could not be passed on', { event: event.type, error });
        }
      }
    },
    subscribe: (listener) => {
      listeners.push(listener);
    },
  };
}
