import { createBatches } from '../../core/batches.ts';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import { createTurns } from '../../core/turns.ts';
import type { ReplicaRecord } from '../interfaces/replica-store.ts';
import type { Store } from '../interfaces/store.ts';
import type { Events } from './events.ts';

/** Which nodes are online: those with a socket at any replica. A short gap between two sockets does not count. */
export interface Presence {
  connected(nodeId: number): Promise<void>;
  disconnected(nodeId: number): void;
  /** Writes `last_seen`, at most once in 30 s per account, and many accounts at once: every write is a flush to disk. */
  seen(kind: 'user' | 'node', id: number): Promise<void>;
  /** Writes again which nodes are here and which are not: after the database was away, or had given this replica up. */
  restore(): Promise<void>;
  /** Forgets replicas that were silent for longer, with a word about each node that is offline by that. How many there were. */
  forgetSilent(silentMs: number): Promise<number>;
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
  /** This process, for its rows in the database. */
  readonly replica: ReplicaRecord;
}

const SEEN_EVERY_MS = 30_000;
/** Accounts in one transaction, which holds up everybody else's writes. */
const SEEN_AT_ONCE = 100;

interface Seen {
  readonly kind: 'user' | 'node';
  readonly id: number;
  readonly at: Date;
}

export function createPresence(deps: PresenceDeps): Presence {
  const { store, clock, logger, graceMs, replica } = deps;
  const sockets = new Map<number, number>();
  const leaving = new Map<number, AbortController>();
  const lastSeen = new Map<string, number>();
  const inTurn = createTurns();
  const writeSeen = createBatches<Seen>(SEEN_AT_ONCE, (all) =>
    store.transaction(async (tx) => {
      for (const { kind, id, at: lastSeenAt } of all) {
        if (kind === 'node') await tx.nodes.update(id, { lastSeenAt });
        else await tx.users.update(id, { lastSeenAt });
      }
    }),
  );

  const goOnline = (nodeId: number): Promise<void> =>
    inTurn(String(nodeId), async () => {
      const wasOffline = await store.replicas.connect(replica, nodeId, clock.now());
      if (wasOffline) await announce(deps, 'node-online', nodeId);
    });

  const goOffline = (nodeId: number): Promise<void> =>
    inTurn(String(nodeId), async () => {
      if (sockets.has(nodeId)) return;
      const isOffline = await store.replicas.disconnect(replica, nodeId);
      if (isOffline) await announce(deps, 'node-offline', nodeId);
    });

  return {
    connected: async (nodeId) => {
      leaving.get(nodeId)?.abort();
      leaving.delete(nodeId);
      sockets.set(nodeId, (sockets.get(nodeId) ?? 0) + 1);
      await goOnline(nodeId);
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
        .then(() => {
          leaving.delete(nodeId);
          return goOffline(nodeId);
        })
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
      await writeSeen({ kind, id, at: now });
    },

    restore: async () => {
      const stored = new Set(await store.replicas.nodesOf(replica));
      for (const nodeId of sockets.keys()) if (!stored.has(nodeId)) await goOnline(nodeId);
      for (const nodeId of stored) if (!leaving.has(nodeId)) await goOffline(nodeId);
    },

    forgetSilent: async (silentMs) => {
      const { replicas, nodeIds } = await store.replicas.forgetSilent(silentMs);
      for (const nodeId of nodeIds) await announce(deps, 'node-offline', nodeId);
      return replicas;
    },

    close: () => {
      for (const wait of leaving.values()) wait.abort();
      leaving.clear();
    },
  };
}

async function announce(
  { store, events, logger }: PresenceDeps,
  type: 'node-online' | 'node-offline',
  nodeId: number,
): Promise<void> {
  const node = await store.nodes.find(nodeId);
  if (node === undefined) return;
  const { id, name, organizationId, collaborationId } = node;
  logger.info(type === 'node-online' ? 'Node is online' : 'Node is offline', {
    node: id,
    organization: organizationId,
    collaboration: collaborationId,
  });
  events.publish({ type, node: { id, name, organizationId, collaborationId } });
}
