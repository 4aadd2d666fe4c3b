import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import type { ClientContainerKeeper } from './client-container.ts';
import { type CommandStream, isLostStream } from './command-stream.ts';

/** Between two words, and how long an answer may take, ms: a client that stands still is noticed within their sum. */
export const PULSE_MS = 5000;
const ANSWER_MS = 3000;

interface PulseDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly container: ClientContainerKeeper;
  readonly signal: AbortSignal;
}

/**
 * Says a word into the VPN client every 5 s while nobody else does. A container that is paused goes on; one that does not answer
 * for another reason loses its stream, and whoever owns the stream brings it back. Ends with the signal, never rejects.
 */
export async function watchPulse(
  deps: PulseDeps,
  current: () => CommandStream | undefined,
): Promise<void> {
  const { clock, logger, container, signal } = deps;
  while (!signal.aborted) {
    try {
      await clock.sleep(PULSE_MS, signal);
      const stream = current();
      if (stream === undefined || stream.isLost) continue;
      if (await goesOn(deps)) continue;
      // A command under way has a limit of its own.
      if (!stream.isBusy) await stream.run(':', ANSWER_MS);
    } catch (error) {
      if (signal.aborted) return;
      if (isLostStream(error))
        logger.warn('The VPN client does not answer', { container: container.name });
    }
  }
}

/** A paused container keeps all that it had: its flows go on where they stood. */
async function goesOn({ container, logger }: PulseDeps): Promise<boolean> {
  if ((await container.find())?.state !== 'paused') return false;
  const wasPaused = await container.goOn();
  if (wasPaused)
    logger.warn('The VPN client was paused; it goes on', { container: container.name });
  return wasPaused;
}
