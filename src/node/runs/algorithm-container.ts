import type { ContainerSpec } from '../../core/engine/engine.ts';
import { isV6Error } from '../../core/errors.ts';
import { LABEL } from '../../core/labels.ts';
import { isEngineAway, untilEngineAnswers } from '../engine-patience.ts';
import type { RunDeps } from './run-deps.ts';

type Deps = Pick<RunDeps, 'engine' | 'clock' | 'logger'>;

/**
 * Creates the container of a run and resolves with its id, also over an absence of the engine. `onUncertain` is called with its
 * name when the engine took the request and went away: a container may be there. Throws what `create` throws.
 */
export async function createAlgorithm(
  deps: Deps,
  spec: ContainerSpec,
  signal: AbortSignal,
  onUncertain: (name: string) => void,
): Promise<string> {
  const { containers } = deps.engine;
  return untilEngineAnswers(deps, 'container of an algorithm', signal, async () => {
    try {
      return await containers.create(spec);
    } catch (error) {
      if (isEngineAway(error)) onUncertain(spec.name);
      if (!isV6Error(error, 'V6_ENGINE_CONFLICT') || !(await isLeftByUs(deps, spec))) throw error;
      await containers.remove(spec.name);
      return containers.create(spec);
    }
  });
}

/** Whether the name is held by a container that was made for this very run and never started. */
async function isLeftByUs({ engine }: Deps, spec: ContainerSpec): Promise<boolean> {
  const found = await engine.containers.find(spec.name);
  const identity = [LABEL.kind, LABEL.scope, LABEL.node, LABEL.run];
  return (
    found?.state === 'created' &&
    identity.every((label) => found.labels[label] === spec.labels[label])
  );
}

/**
 * Starts a container that was never started. When the engine goes away meanwhile, it is looked at before it is started again:
 * an algorithm that has ended already is not run twice.
 */
export async function startOnce(deps: Deps, id: string, signal: AbortSignal): Promise<void> {
  const { containers } = deps.engine;
  let isCertain = true;
  await untilEngineAnswers(deps, 'start of an algorithm', signal, async () => {
    if (!isCertain && (await containers.find(id))?.state !== 'created') return;
    isCertain = false;
    await containers.start(id);
  });
}
