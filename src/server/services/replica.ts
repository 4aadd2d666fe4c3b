import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { ReplicaRecord } from '../interfaces/replica-store.ts';
import type { Store } from '../interfaces/store.ts';
import type { EventHub } from './events.ts';
import type { Presence } from './presence.ts';

/** How often a replica says that it lives. */
const BEAT_MS = 2000;
/** One that says nothing for so long is given up: its nodes are offline unless they are at another one by now. */
export const SILENT_MS = 10_000;

export interface ReplicaDeps {
  readonly store: Store;
  readonly presence: Pick<Presence, 'restore' | 'forgetSilent'>;
  readonly events: Pick<EventHub, 'missed'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly self: ReplicaRecord;
}

/** The life of one process among those that serve the same database. */
export interface Replica {
  /** Before anything is answered: all replicas sign tokens with one key. Throws V6_CONFIG_INVALID, V6_DATABASE. */
  check(): Promise<void>;
  /** Makes it known, and begins to say that it lives when there may be others. Throws V6_DATABASE. */
  join(): Promise<void>;
  /** Says nothing any more. Its nodes stay online for the time that others wait: they come back to this or another one. */
  leave(): void;
}

export function createReplica(deps: ReplicaDeps): Replica {
  const { store, clock, self } = deps;
  const left = new AbortController();
  return {
    check: async () => {
      if (store.isShared) await assertSameKey(deps);
    },
    join: async () => {
      await store.replicas.join(self, { isAlone: !store.isShared });
      if (!store.isShared) return;
      live(deps, clock.now().getTime(), left.signal).catch(() => undefined);
    },
    leave: () => left.abort(),
  };
}

/** Tokens of one replica must be good at all others. One that has just stopped is waited out: its key may have been changed. */
async function assertSameKey({ store, clock, self }: ReplicaDeps): Promise<void> {
  for (let waited = 0; ; waited += BEAT_MS) {
    const others = await store.replicas.living(SILENT_MS);
    if (others.every((other) => other.keyMark === self.keyMark)) return;
    if (waited > SILENT_MS) break;
    await clock.sleep(BEAT_MS);
  }
  throw new V6Error(
    'V6_CONFIG_INVALID',
    'Another server on this database signs its tokens with another key',
    { hints: ['Give all servers of one database the same jwt_secret_key, or none.'] },
  );
}

/** Ends with the signal only. `goodSince`: since when every beat was written, in ms; undefined after a failure. */
async function live(deps: ReplicaDeps, start: number, signal: AbortSignal): Promise<void> {
  const { clock, logger } = deps;
  let goodSince: number | undefined = start;
  for (;;) {
    await clock.sleep(BEAT_MS, signal);
    try {
      await beat(deps, goodSince);
      goodSince ??= clock.now().getTime();
    } catch (error) {
      if (signal.aborted) return;
      if (goodSince !== undefined) logger.error('This replica cannot say that it lives', { error });
      goodSince = undefined;
    }
  }
}

async function beat(
  { store, presence, events, clock, logger, self }: ReplicaDeps,
  goodSince: number | undefined,
): Promise<void> {
  const isKnown = await store.replicas.beat(self);
  if (!isKnown) {
    logger.warn('Other replicas had given this one up: its nodes are online again');
    await store.replicas.join(self, { isAlone: false });
  }
  if (!isKnown || goodSince === undefined) await presence.restore();
  // While the database was away nobody could say anything: that others were silent means nothing yet.
  if (goodSince === undefined || clock.now().getTime() - goodSince < SILENT_MS) return;
  const given = await presence.forgetSilent(SILENT_MS);
  if (given === 0) return;
  logger.warn('Replicas have gone without a word', { replicas: given });
  // What they had stored, and not yet told the others.
  events.missed();
}
