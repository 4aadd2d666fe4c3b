import type { Clock } from '../core/clock.ts';
import { isV6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';

/** Statuses with which a server, or the proxy before it, says that it cannot answer now (RFC 9110 15.6, RFC 6585 4). */
const AWAY = new Set([429, 502, 503, 504]);
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 15_000;

/** True when the coordination server gave no answer to the request itself, so that asking again is right. */
export function isServerAway(error: unknown): boolean {
  if (isV6Error(error, 'V6_SERVER_UNREACHABLE')) return true;
  const status = isV6Error(error) ? error.details.status : undefined;
  if (typeof status !== 'number') return false;
  return isV6Error(error, 'V6_SERVER_ANSWER') ? status >= 500 : AWAY.has(status);
}

/** True when the server tried and failed: perhaps it can the next time, perhaps never. */
export function hasServerFailed(error: unknown): boolean {
  return isV6Error(error) && error.details.status === 500;
}

export interface Patience {
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Asks until the server answers: with ever longer pauses while it is away, at once with the error when it refuses. Only for
 * what may be repeated. Rejects with the signal's reason when that aborts. `isWorthAsking` decides otherwise which errors are
 * asked again.
 */
export async function untilAnswered<T>(
  { clock, logger }: Patience,
  what: string,
  signal: AbortSignal,
  ask: () => Promise<T>,
  isWorthAsking: (error: unknown) => boolean = isServerAway,
): Promise<T> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    signal.throwIfAborted();
    try {
      return await ask();
    } catch (error) {
      signal.throwIfAborted();
      if (!isWorthAsking(error)) throw error;
      logger.warn('The coordination server does not answer; asking again', {
        what,
        pauseMs,
        ...(isV6Error(error) ? { code: error.code } : {}),
      });
      await clock.sleep(pauseMs, signal);
    }
  }
}
