import type { ContainerState } from '../../core/engine/engine.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import { isEngineAway } from '../engine-patience.ts';
import { engineAnswer } from './engine-answer.ts';
import type { RunDeps } from './run-deps.ts';

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;

/** From when to when nobody could ask the engine about a container. */
export interface EngineAbsence {
  readonly from: Date;
  readonly until: Date;
}

/** The end of a container, and what is known of the engine around it. */
export interface ContainerEnd {
  readonly state: ContainerState;
  readonly absences: readonly EngineAbsence[];
}

/**
 * Waits for the end of a container, also over an absence of the engine: a request that it leaves unanswered tells nothing about
 * the container. Throws V6_RUN_FAILED when somebody else removed it, and the signal's reason.
 */
export async function waitForEnd(
  deps: Pick<RunDeps, 'engine' | 'clock' | 'logger'>,
  container: string,
  signal: AbortSignal,
): Promise<ContainerEnd> {
  const { engine, clock, logger } = deps;
  const find = () => engineAnswer(clock, signal, engine.containers.find(container));
  const absences: EngineAbsence[] = [];
  let awayFrom: Date | undefined;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    signal.throwIfAborted();
    try {
      // First of all whether it is there: an engine that stops may end the request below as if the container had ended.
      if (awayFrom !== undefined) await find();
      if (awayFrom !== undefined) {
        absences.push({ from: awayFrom, until: clock.now() });
        logger.info('The container engine answers again', { container, awayFrom });
        awayFrom = undefined;
        pauseMs = FIRST_PAUSE_MS;
      }
      await engine.containers.wait(container, signal);
      const state = await find();
      if (state === undefined) throw removedByOthers(container);
      if (state.state === 'exited' || state.state === 'dead') return { state, absences };
    } catch (error) {
      signal.throwIfAborted();
      if (isV6Error(error, 'V6_RUN_FAILED')) throw error;
      const isAway = isEngineAway(error) || !(await isThere({ logger, find }, container));
      signal.throwIfAborted();
      if (isAway && awayFrom === undefined) {
        awayFrom = clock.now();
        logger.warn('The container engine went away while an algorithm runs', { container, error });
      }
    }
    await clock.sleep(pauseMs, signal);
  }
}

/** False when the engine does not answer. Throws V6_RUN_FAILED when it says that there is no such container. */
async function isThere(
  { logger, find }: Pick<RunDeps, 'logger'> & { find: () => Promise<ContainerState | undefined> },
  container: string,
): Promise<boolean> {
  let state: ContainerState | undefined;
  try {
    state = await find();
  } catch (error) {
    logger.debug('A container cannot be looked at', { container, error });
    return false;
  }
  if (state === undefined) throw removedByOthers(container);
  return true;
}

function removedByOthers(container: string): V6Error {
  return new V6Error('V6_RUN_FAILED', 'The container of the algorithm was removed from outside', {
    details: { container },
  });
}
