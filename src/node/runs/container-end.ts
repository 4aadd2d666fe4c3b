import type { ContainerState } from '../../core/engine/engine.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import type { RunDeps } from './run-deps.ts';

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;

/**
 * Waits for the end of a container, also over an absence of the engine. Throws V6_RUN_FAILED when somebody else removed it,
 * and the signal's reason.
 */
export async function waitForEnd(
  { engine, clock, logger }: Pick<RunDeps, 'engine' | 'clock' | 'logger'>,
  container: string,
  signal: AbortSignal,
): Promise<ContainerState> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    signal.throwIfAborted();
    try {
      await engine.containers.wait(container, signal);
      const state = await engine.containers.find(container);
      if (state === undefined) throw removedByOthers(container);
      if (state.state === 'exited' || state.state === 'dead') return state;
    } catch (error) {
      signal.throwIfAborted();
      if (isV6Error(error, 'V6_RUN_FAILED')) throw error;
      await notGone({ engine }, container);
      logger.warn('Waiting for an algorithm was interrupted; waiting again', { container, error });
    }
    await clock.sleep(pauseMs, signal);
  }
}

/** Throws V6_RUN_FAILED when the engine says that the container is not there; an engine that does not answer says nothing. */
async function notGone({ engine }: Pick<RunDeps, 'engine'>, container: string): Promise<void> {
  let state: ContainerState | undefined;
  try {
    state = await engine.containers.find(container);
  } catch {
    return;
  }
  if (state === undefined) throw removedByOthers(container);
}

function removedByOthers(container: string): V6Error {
  return new V6Error('V6_RUN_FAILED', 'The container of the algorithm was removed from outside', {
    details: { container },
  });
}
