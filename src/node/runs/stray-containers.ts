import { isV6Error } from '../../core/errors.ts';
import { LABEL } from '../../core/labels.ts';
import type { RunDeps } from './run-deps.ts';

/**
 * Removes containers of algorithms that belong to no run: their end could not remove them, or an answer of the engine was lost
 * when they were made. `isOurs` is asked after the engine was. Resolves with the runs whose container is gone now.
 */
export async function removeStrayContainers(
  { engine, node, logger }: Pick<RunDeps, 'engine' | 'node' | 'logger'>,
  isOurs: (run: number) => boolean,
): Promise<readonly number[]> {
  const gone: number[] = [];
  try {
    const found = await engine.containers.list({
      [LABEL.kind]: 'algorithm',
      [LABEL.scope]: node.scope,
      [LABEL.node]: node.name,
    });
    for (const { id, name, labels } of found) {
      const run = Number(labels[LABEL.run]);
      if (isOurs(run)) continue;
      await engine.containers.remove(id);
      gone.push(run);
      logger.warn('A container of a run that has ended was removed', { container: name, run });
    }
  } catch (error) {
    const code = isV6Error(error) ? error.code : 'V6_BUG';
    logger.warn('Containers of ended runs cannot be removed now', { code, error });
  }
  return gone;
}
