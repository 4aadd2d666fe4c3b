import type { Context } from '../../core/context.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import { LABEL } from '../../core/labels.ts';
import type { HostGuard } from '../interfaces/host-guard.ts';

export interface LeftoverDeps {
  readonly engine: Pick<Engine, 'containers' | 'networks'>;
  /** Undefined where the host's rules are not ours to touch. */
  readonly guard?: Pick<HostGuard, 'remove'> | undefined;
}

/** Names of what was removed. */
export interface Leftovers {
  readonly containers: readonly string[];
  readonly networks: readonly string[];
}

type Node = Pick<Context, 'name' | 'scope'>;

/**
 * Removes what a killed daemon left: every container and network with the labels of this node, and its share of the host's
 * guard when there was anything. Tries every step; throws one error that lists all failures. To be called when the daemon is gone.
 */
export async function removeLeftovers(deps: LeftoverDeps, node: Node): Promise<Leftovers> {
  const { containers, networks } = deps.engine;
  const labels = { [LABEL.scope]: node.scope, [LABEL.node]: node.name };
  const left = {
    containers: (await containers.list(labels)).map(({ name }) => name),
    networks: (await networks.list(labels)).map(({ name }) => name),
  };
  const steps: (readonly [what: string, () => Promise<void>])[] = [
    ...left.containers.map((name) => [`container ${name}`, () => containers.remove(name)] as const),
    ...left.networks.map((name) => [`network ${name}`, () => networks.remove(name)] as const),
  ];
  if (steps.length > 0 && deps.guard !== undefined) {
    const { guard } = deps;
    steps.push(['host rules', () => guard.remove(`${node.scope}/${node.name}`)]);
  }
  await runAll(steps, `Not everything of the node ${node.name} could be removed`);
  return left;
}

/** Runs all steps in order, whatever becomes of the others. */
export async function runAll(
  steps: readonly (readonly [what: string, run: () => Promise<void>])[],
  sentence: string,
): Promise<void> {
  const failures: { what: string; error: V6Error }[] = [];
  for (const [what, run] of steps) {
    try {
      await run();
    } catch (thrown) {
      failures.push({ what, error: toV6Error(thrown) });
    }
  }
  const [first] = failures;
  if (first === undefined) return;
  const list = failures.map(({ what, error }) => `${what}: ${error.message}`).join('; ');
  throw new V6Error(first.error.code, `${sentence}: ${list}`, {
    cause: first.error,
    hints: first.error.hints,
  });
}
