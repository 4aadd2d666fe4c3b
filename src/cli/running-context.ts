import { type Context, contextFor } from '../core/context.ts';
import { V6Error } from '../core/errors.ts';
import { isDemoScope, type Scope } from '../core/labels.ts';
import {
  type ContextFlagValues,
  contextFromFlags,
  hostFolders,
  scopeFromFlags,
} from './context.ts';

export interface RunningThing {
  readonly name: string;
  readonly scope: Scope;
}

/**
 * The context that the flags name; without a name, the only node that runs (in the scope of the flags, or outside demos).
 * `list` is asked only then. Throws V6_USAGE_MISSING_ANSWER for several, V6_NODE_NOT_RUNNING for none.
 */
export async function runningNodeContext(
  flags: ContextFlagValues,
  env: NodeJS.ProcessEnv,
  list: () => Promise<readonly RunningThing[]>,
): Promise<Context> {
  if (flags.name !== undefined || flags.config !== undefined) {
    return contextFromFlags('node', flags, env);
  }
  const scope = scopeFromFlags(flags);
  const found = (await list()).filter((node) =>
    scope === undefined ? !isDemoScope(node.scope) : node.scope === scope,
  );
  const [only, ...others] = found;
  if (only === undefined) {
    throw new V6Error('V6_NODE_NOT_RUNNING', `No node runs${scope ? ` in scope ${scope}` : ''}`, {
      hints: ['Start one: v6 node start --name NAME'],
    });
  }
  if (others.length > 0) {
    const names = found.map(({ name, scope: of }) => `${name} (${of})`).join(', ');
    throw new V6Error('V6_USAGE_MISSING_ANSWER', `Several nodes run: ${names}`, {
      hints: ['Name one with --name, and its scope with --user or --system.'],
    });
  }
  return contextFor('node', only.name, only.scope, hostFolders(env));
}
