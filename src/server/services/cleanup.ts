import type { Clock } from '../../core/clock.ts';
import type { CleanupSettings } from '../../core/config/server-operation.ts';
import type { Logger } from '../../core/logger.ts';
import type { Store } from '../interfaces/store.ts';

export interface CleanupDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: CleanupSettings;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Runs in one transaction: nobody else writes meanwhile. */
const AT_ONCE = 100;
/** Row of `meta`: when a replica began the last round, as ISO text. */
const LAST_ROUND = 'cleanup_round_at';

/**
 * Blanks results (and inputs) of runs that ended, well or not, more than the configured days ago; logs stay. One replica does it
 * for all of them: who writes the time of the round first. How many runs it were; undefined when the round was another's.
 */
export async function cleanUp({
  store,
  clock,
  settings,
}: Omit<CleanupDeps, 'logger'>): Promise<number | undefined> {
  const now = clock.now();
  const isOurs = await store.transaction(async (tx) => {
    const last = await tx.meta.find(LAST_ROUND);
    // Clocks of replicas differ a little, and timers are late.
    if (last !== undefined && now.getTime() - Date.parse(last) < HOUR_MS / 2) return false;
    await tx.meta.set(LAST_ROUND, now.toISOString());
    return true;
  });
  if (!isOurs) return undefined;
  const endedBefore = new Date(now.getTime() - settings.days * DAY_MS);
  let total = 0;
  for (;;) {
    const blanked = await store.runs.blank({
      endedBefore,
      at: now,
      includesInput: settings.includesInput,
      limit: AT_ONCE,
    });
    total += blanked;
    if (blanked < AT_ONCE) return total;
    // Requests that came meanwhile are answered first.
    await clock.sleep(0);
  }
}

/** A round now and every hour, until the signal. A round that fails is logged, and the next one comes. */
export async function cleanUpHourly(deps: CleanupDeps, signal: AbortSignal): Promise<void> {
  const { clock, logger } = deps;
  while (!signal.aborted) {
    try {
      const runs = await cleanUp(deps);
      if (runs !== undefined && runs > 0) logger.info('Data of old runs is blanked', { runs });
    } catch (error) {
      if (!signal.aborted) logger.error('Data of old runs could not be blanked', { error });
    }
    await clock.sleep(HOUR_MS, signal).catch(() => undefined);
  }
}
