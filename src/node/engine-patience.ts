import type { Clock } from '../core/clock.ts';
import type { Engine } from '../core/engine/engine.ts';
import { isV6Error, V6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;
/** An engine that is there answers `info` in some 20 ms. Behind a socket that systemd holds, one that stops answers nothing. */
const PRESENCE_LIMIT_MS = 2000;

/** True when the container engine gave no answer to the request itself: it is being restarted, or it is gone. */
export function isEngineAway(error: unknown): boolean {
  return isV6Error(error, 'V6_ENGINE_MISSING', 'V6_ENGINE_TIMEOUT');
}

/**
 * Asks until the engine answers, with ever longer pauses. Only for what may be repeated: whether an unanswered request was
 * carried out is not known. Rejects with the signal's reason when that aborts.
 */
export async function untilEngineAnswers<T>(
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
  what: string,
  signal: AbortSignal,
  ask: () => Promise<T>,
): Promise<T> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    signal.throwIfAborted();
    try {
      return await ask();
    } catch (error) {
      signal.throwIfAborted();
      if (!isEngineAway(error)) throw error;
      logger.warn('The container engine does not answer; asking again', { what, pauseMs });
      await clock.sleep(pauseMs, signal);
    }
  }
}

/** Whether the engine answers now, within two seconds. */
export async function isEngineThere(engine: Pick<Engine, 'info'>, clock: Clock): Promise<boolean> {
  const over = new AbortController();
  const late = clock.sleep(PRESENCE_LIMIT_MS, over.signal).then(
    () => false,
    () => false,
  );
  const answer = engine.info().then(
    () => true,
    (error: unknown) => !isEngineAway(error),
  );
  try {
    return await Promise.race([answer, late]);
  } finally {
    over.abort(new V6Error('V6_INTERRUPTED', 'The engine has answered'));
  }
}
