import type { Context } from '../core/context.ts';
import { isV6Error, V6Error } from '../core/errors.ts';
import type { ContextFlagValues } from './context.ts';
import { type RunningThing, runningNodeContext } from './running-context.ts';

/**
 * The node that the flags name, running or not; without a name the only one that runs. Throws V6_USAGE_MISSING_ANSWER when that
 * does not tell which.
 */
export async function nodeContext(
  flags: ContextFlagValues,
  env: NodeJS.ProcessEnv,
  list: () => Promise<readonly RunningThing[]>,
): Promise<Context> {
  try {
    return await runningNodeContext(flags, env, list);
  } catch (error) {
    if (!isV6Error(error, 'V6_NODE_NOT_RUNNING')) throw error;
    throw new V6Error('V6_USAGE_MISSING_ANSWER', '--name is missing, and no node runs', {
      hints: ['Name the node with --name, and its scope with --user or --system.'],
      cause: error,
    });
  }
}
