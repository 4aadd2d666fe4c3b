import type { Context } from '../../core/context.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import { LABEL } from '../../core/labels.ts';

export interface LeftoverDeps {
  readonly engine: Pick<Engine, 'containers' | 'networks'>;
  /** Removes a node's rules from the host, and what it wrote down of them. Undefined where they are not ours to touch. */
  readonly undoHostRules?: ((node: LeftoverNode) => Promise<void>) | undefined;
}

/** The data folder is where a node writes down what it put on the host. */
export type LeftoverNode = Pick<Context, 'name' | 'scope'> & Partial<Pick<Context, 'dataDir'>>;

/** Names of what was removed. */
export interface Leftovers {
  readonly containers: readonly string[];
  readonly networks: readonly string[];
}

/**
 * Removes what a killed daemon left: every container and network with the labels of this node, and its share of the host's
 * rules when there was anything. Tries every step; throws one error that lists all failures. To be called when the daemon is gone.
 */
export async function removeLeftovers(deps: LeftoverDeps, node: LeftoverNode): Promise<Leftovers> {
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
  const { undoHostRules } = deps;
  if (steps.length > 0 && undoHostRules !== undefined)
    steps.push(['host rules', () => undoHostRules(node)]);
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
