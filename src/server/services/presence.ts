import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import type { NodeRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import type { Events } from './events.ts';

/** Which nodes are online: those with a socket. A short gap between two sockets does not count. */
export interface Presence {
  connected(nodeId: number): Promise<void>;
  disconnected(nodeId: number): void;
  /** Writes `last_seen`, at most once in 30 s per account: every write is a flush to disk. */
  seen(kind: 'user' | 'node', id: number): Promise<void>;
  /** Forgets all waiting changes. */
  close(): void;
}

export interface PresenceDeps {
  readonly store: Store;
  readonly events: Events;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a node may be without a socket before it is offline. */
  readonly graceMs: number;
}

const SEEN_EVERY_MS = 30_000;

export function createPresence(deps: PresenceDeps): Presence {
  const { store, events, clock, logger, graceMs } = deps;
  const sockets = new Map<number, number>();
  const leaving = new Map<number, AbortController>();
  const lastSeen = new Map<string, number>();

  const announce = (type: 'node-online' | 'node-offline', node: NodeRecord | undefined): void => {
    if (node === undefined) return;
    const { organizationId: organization, collaborationId: collaboration } = node;
    logger.info(type === 'node-online' ? 'Node is online' : 'Node is offline', {
      node: node.id,
      organization,
      collaboration,
    });
    events.publish({ type, node });
  };

  const goOffline = async (nodeId: number): Promise<void> => {
    if (sockets.has(nodeId)) return;
    await store.nodes.update(nodeId, { isOnline: false, config: [] });
    announce('node-offline', await store.nodes.find(nodeId));
  };

  return {
    connected: async (nodeId) => {
      leaving.get(nodeId)?.abort();
      leaving.delete(nodeId);
      sockets.set(nodeId, (sockets.get(nodeId) ?? 0) + 1);
      const before = await store.nodes.find(nodeId);
      await store.nodes.update(nodeId, { isOnline: true, lastSeenAt: clock.now() });
      if (before?.isOnline === false) announce('node-online', await store.nodes.find(nodeId));
    },

    disconnected: (nodeId) => {
      const left = (sockets.get(nodeId) ?? 1) - 1;
      if (left > 0) {
        sockets.set(nodeId, left);
        return;
      }
      sockets.delete(nodeId);
      const wait = new AbortController();
      leaving.set(nodeId, wait);
      clock
        .sleep(graceMs, wait.signal)
        .then(() => goOffline(nodeId))
        .catch((error: unknown) => {
          if (!wait.signal.aborted)
            logger.error('A node could not be marked offline', { node: nodeId, error });
        });
    },

    seen: async (kind, id) => {
      const now = clock.now();
      const key = `${kind} ${id}`;
      if (now.getTime() - (lastSeen.get(key) ?? 0) < SEEN_EVERY_MS) return;
      lastSeen.set(key, now.getTime());
      if (kind === 'node') await store.nodes.update(id, { lastSeenAt: now });
      else await store.users.update(id, { lastSeenAt: now });
    },

    close: () => {
      for (const wait of leaving.values()) wait.abort();
      leaving.clear();
    },
  };
}
