import { isV6Error } from '../../core/errors.ts';
import { LABEL } from '../../core/labels.ts';
import { isEngineAway } from '../engine-patience.ts';
import type { RunDeps } from './run-deps.ts';

/**
 * Removes containers of algorithms that belong to no run: their end could not remove them, or an answer of the engine was lost
 * when they were made. `isOurs` is asked after the engine was. Resolves with the runs whose container cannot be removed now;
 * undefined when the engine does not tell which are there.
 */
export async function removeStrayContainers(
  { engine, node, logger }: Pick<RunDeps, 'engine' | 'node' | 'logger'>,
  isOurs: (run: number) => boolean,
): Promise<ReadonlySet<number> | undefined> {
  const left = new Set<number>();
  const warn = (error: unknown): void => {
    const code = isV6Error(error) ? error.code : 'V6_BUG';
    logger.warn('Containers of ended runs cannot be removed now', { code, error });
  };
  try {
    const found = await engine.containers.list({
      [LABEL.kind]: 'algorithm',
      [LABEL.scope]: node.scope,
      [LABEL.node]: node.name,
    });
    for (const { id, name, labels } of found) {
      const run = Number(labels[LABEL.run]);
      if (isOurs(run)) continue;
      try {
        await engine.containers.remove(id);
        logger.warn('A container of a run that has ended was removed', { container: name, run });
      } catch (error) {
        if (isEngineAway(error)) throw error;
        left.add(run);
        warn(error);
      }
    }
    return left;
  } catch (error) {
    warn(error);
    return undefined;
  }
}
