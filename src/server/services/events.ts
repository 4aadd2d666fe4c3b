import type { Logger } from '../../core/logger.ts';
import type { AlgorithmStatusChange, KillContainers, NewTask } from '../../core/protocol/events.ts';
import type { EventBus } from '../interfaces/event-bus.ts';
import type { NodeRecord } from '../interfaces/records.ts';

/**
 * What others hear of, at this replica and at all others. Published after the change is stored, so that who re-reads at once
 * sees it. Plain data: events travel as JSON.
 */
export type ServerEvent =
  | { readonly type: 'new-task'; readonly collaborationId: number; readonly task: NewTask }
  | { readonly type: 'run-changed'; readonly collaborationId: number; readonly runId: number }
  | { readonly type: 'kill'; readonly kill: KillContainers }
  | {
      readonly type: 'node-online' | 'node-offline';
      readonly node: Pick<NodeRecord, 'id' | 'name' | 'organizationId' | 'collaborationId'>;
    }
  /** A node that has open runs got another tunnel address, or lost it. */
  | { readonly type: 'address-changed'; readonly collaborationId: number; readonly nodeId: number }
  | { readonly type: 'algorithm-status'; readonly change: AlgorithmStatusChange }
  | {
      readonly type: 'algorithm-log';
      readonly collaborationId: number;
      readonly line: { readonly run_id: number; readonly task_id: number; readonly log: string };
    }
  /** Its tokens or the account itself ended: its sockets go. */
  | { readonly type: 'account-ended'; readonly accountId: number }
  /** Organizations whose collaborations changed. */
  | { readonly type: 'members-changed'; readonly organizationIds: readonly number[] }
  /** Events of other replicas may have got lost: everybody reads again. */
  | { readonly type: 'missed' };

export interface Events {
  publish(event: ServerEvent): void;
}

export interface EventHub extends Events {
  subscribe(listener: (event: ServerEvent) => void): void;
  /** Events that may have got lost: for the sockets of this replica alone. */
  missed(): void;
  /** The database was changed from outside: as `missed`, without an alarm. */
  reread(): void;
}

/**
 * Events are hints: a listener that fails is logged, and who published goes on. With a bus the other replicas hear them too,
 * and this one theirs.
 */
export function createEventHub(logger: Logger, bus?: EventBus): EventHub {
  const listeners: ((event: ServerEvent) => void)[] = [];
  const tell = (event: ServerEvent): void => {
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (error) {
        logger.error('An event could not be passed on', { event: event.type, error });
      }
    }
  };
  const missed = (): void => {
    logger.warn('Events of other replicas may have got lost: all nodes read again');
    reread();
  };
  const reread = (): void => tell({ type: 'missed' });
  bus?.receive({ hear: (text) => tell(JSON.parse(text) as ServerEvent), missed });
  return {
    publish: (event) => {
      tell(event);
      bus?.send(JSON.stringify(event));
    },
    subscribe: (listener) => {
      listeners.push(listener);
    },
    missed,
    reread,
  };
}
