import type { Clock } from '../core/clock.ts';
import { isV6Error } from '../core/errors.ts';
import { isFinished, type Run } from '../core/protocol/entities.ts';
import type { UserClient } from './interfaces/user-client.ts';

const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 1000;

/** True when the node has sent the end of the run: the status alone comes earlier than its result. */
export const hasEnded = (run: Run): boolean => run.finished_at !== null && isFinished(run.status);

/**
 * Reads the runs of a task until all have ended, with pauses that grow from 0.2 to 1 s, or until `limitMs` is over; returns
 * them as last read. A server that is away meanwhile is asked again. Rejects with the signal's reason, with a refusal of
 * the server, and with V6_SERVER_UNREACHABLE when no reading succeeded.
 */
export async function waitForRuns(
  deps: { readonly client: Pick<UserClient, 'listRuns'>; readonly clock: Clock },
  task: number,
  options: { readonly limitMs: number; readonly signal: AbortSignal },
): Promise<readonly Run[]> {
  const { client, clock } = deps;
  const deadline = clock.now().getTime() + options.limitMs;
  let runs: readonly Run[] | undefined;
  let lastError: unknown;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LAST_PAUSE_MS, 2 * pauseMs)) {
    try {
      runs = await client.listRuns(task, options.signal);
      if (runs.length > 0 && runs.every(hasEnded)) return runs;
    } catch (error) {
      if (!isV6Error(error, 'V6_SERVER_UNREACHABLE')) throw error;
      lastError = error;
    }
    const leftMs = deadline - clock.now().getTime();
    if (leftMs <= 0) {
      if (runs === undefined) throw lastError;
      return runs;
    }
    await clock.sleep(Math.min(pauseMs, leftMs), options.signal);
  }
}
