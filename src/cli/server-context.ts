import { type Context, contextFor } from '../core/context.ts';
import { V6Error } from '../core/errors.ts';
import { isDemoScope } from '../core/labels.ts';
import {
  type ContextFlagValues,
  contextFromFlags,
  hostFolders,
  scopeFromFlags,
} from './context.ts';
import type { RunningThing } from './running-context.ts';

/** A server that runs, as `v6 server list` knows it. */
export interface RunningServer extends RunningThing {
  readonly configFile?: string | undefined;
}

/** The files of a server by its name. */
export function serverContext(
  { name, scope, configFile }: RunningServer,
  env: NodeJS.ProcessEnv,
): Context {
  return contextFor('server', name, scope, hostFolders(env), configFile);
}

/**
 * The context that the flags name; without a name, the only server that runs (in the scope of the flags, or outside demos), or
 * the one called `default`. `list` is asked only then. Throws V6_USAGE_MISSING_ANSWER for several.
 */
export async function runningServerContext(
  flags: ContextFlagValues,
  env: NodeJS.ProcessEnv,
  list: () => Promise<readonly RunningServer[]>,
): Promise<Context> {
  if (flags.name !== undefined || flags.config !== undefined)
    return contextFromFlags('server', flags, env);
  const scope = scopeFromFlags(flags);
  const found = (await list()).filter((server) =>
    scope === undefined ? !isDemoScope(server.scope) : server.scope === scope,
  );
  const [only, ...others] = found;
  if (only === undefined) return contextFromFlags('server', flags, env);
  if (others.length > 0) {
    const names = found.map(({ name, scope: of }) => `${name} (${of})`).join(', ');
    throw new V6Error('V6_USAGE_MISSING_ANSWER', `Several servers run: ${names}`, {
      hints: ['Name one with --name, and its scope with --user or --system.'],
    });
  }
  return serverContext(only, env);
}

/** Which database the commands about the content of a server open. */
export function adminInput(
  flags: ContextFlagValues,
  env: NodeJS.ProcessEnv,
): { readonly context: Context; readonly databaseUri: string | undefined } {
  return {
    context: contextFromFlags('server', flags, env),
    databaseUri: env.VANTAGE6_DB_URI || undefined,
  };
}
