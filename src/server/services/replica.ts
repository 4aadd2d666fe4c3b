import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
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
  /** Random name of this process. */
  readonly id: string;
}

/** The life of one process among those that serve the same database. */
export interface Replica {
  /** Makes it known, and begins to say that it lives when there may be others. Throws V6_DATABASE. */
  join(): Promise<void>;
  /** Says nothing any more. Its nodes stay online for the time that others wait: they come back to this or another one. */
  leave(): void;
}

export function createReplica(deps: ReplicaDeps): Replica {
  const { store, clock, id } = deps;
  const left = new AbortController();
  return {
    join: async () => {
      await store.replicas.join(id, { isAlone: !store.isShared });
      if (!store.isShared) return;
      live(deps, clock.now().getTime(), left.signal).catch(() => undefined);
    },
    leave: () => left.abort(),
  };
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
  { store, presence, events, clock, logger, id }: ReplicaDeps,
  goodSince: number | undefined,
): Promise<void> {
  const isKnown = await store.replicas.beat(id);
  if (!isKnown) {
    logger.warn('Other replicas had given this one up: its nodes are online again');
    await store.replicas.join(id, { isAlone: false });
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
