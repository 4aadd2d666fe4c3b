import { setTimeout } from 'node:timers/promises';
import { V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { isAway } from './postgres-errors.ts';

const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 5000;

/**
 * Asks until the database answers, with growing pauses: services of one machine start in any order. What waiting does not mend
 * (a wrong password, no such database) is thrown at once. Throws V6_DATABASE.
 */
export async function whenThere(
  ask: () => Promise<void>,
  { limitMs, logger }: { readonly limitMs: number; readonly logger: Logger },
): Promise<void> {
  const end = performance.now() + limitMs;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
    try {
      await ask();
      return;
    } catch (error) {
      if (!isAway(error)) throw error;
      const left = Math.round(end - performance.now());
      if (left <= pause) throw gaveUp(error, limitMs);
      logger.warn('The database does not answer yet', {
        reason: (error as Error).message,
        nextTryMs: pause,
        givesUpInMs: left,
      });
      await setTimeout(pause);
    }
  }
}

function gaveUp(error: unknown, limitMs: number): V6Error {
  const { message, hints } = error as V6Error;
  const seconds = Math.round(limitMs / 1000);
  return new V6Error('V6_DATABASE', `${message} (tried for ${seconds} s)`, { hints, cause: error });
}
