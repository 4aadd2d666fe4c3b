import { homedir } from 'node:os';
import path from 'node:path';
import { Flags } from '@oclif/core';
import { type Context, contextFor, type HostFolders } from '../core/context.ts';
import { V6Error } from '../core/errors.ts';
import { parseScope, type Scope } from '../core/labels.ts';

/** The folders of whoever runs the command. */
export function hostFolders(env: NodeJS.ProcessEnv): HostFolders {
  return {
    home: env.HOME ?? homedir(),
    // In the daemon's container everybody is root: it is told for whom on the host it works.
    isRoot: (env.V6_HOST_UID ?? String(process.getuid?.() ?? 0)) === '0',
    xdgConfigHome: env.XDG_CONFIG_HOME,
    xdgDataHome: env.XDG_DATA_HOME,
    xdgCacheHome: env.XDG_CACHE_HOME,
    xdgRuntimeDir: env.XDG_RUNTIME_DIR,
  };
}

/** `-n/--name` and `--user/--system`, as upstream spells them; `--demo` and `--scope` are for what `v6 demo` made. */
export const scopeFlags = {
  name: Flags.string({ char: 'n', description: 'name of the configuration' }),
  user: Flags.boolean({
    description: 'configuration in the folders of this user',
    exclusive: ['system', 'demo'],
  }),
  system: Flags.boolean({
    description: 'configuration in the folders of the system',
    exclusive: ['user', 'demo'],
  }),
  demo: Flags.boolean({
    description: 'configuration that `v6 demo up` made',
    exclusive: ['user', 'system'],
  }),
  scope: Flags.string({
    description: 'scope by its name, e.g. demo-two',
    hidden: true,
    exclusive: ['user', 'system', 'demo'],
  }),
};

/** The same, and `-c/--config` for what has a configuration file. */
export const contextFlags = {
  ...scopeFlags,
  config: Flags.string({
    char: 'c',
    description: 'path of the configuration file; wins over --name',
  }),
};

export interface ContextFlagValues {
  readonly name?: string | undefined;
  readonly config?: string | undefined;
  readonly user?: boolean;
  readonly system?: boolean;
  readonly demo?: boolean;
  readonly scope?: string | undefined;
}

/** The context that the flags name. Upstream's default scopes: user for nodes, system for servers. */
export function contextFromFlags(
  type: Context['type'],
  flags: ContextFlagValues,
  env: NodeJS.ProcessEnv,
): Context {
  const fallback: Scope = type === 'node' ? 'user' : 'system';
  const scope = scopeFromFlags(flags) ?? fallback;
  const name =
    flags.name ??
    (flags.config === undefined ? 'default' : path.basename(flags.config).replace(/\.ya?ml$/, ''));
  return contextFor(
    type,
    name,
    scope,
    hostFolders(env),
    flags.config === undefined ? undefined : path.resolve(flags.config),
  );
}

/** The scope that the flags name; undefined when they name none. Throws V6_USAGE for a scope that does not exist. */
export function scopeFromFlags(flags: ContextFlagValues): Scope | undefined {
  if (flags.scope !== undefined) {
    const scope = parseScope(flags.scope);
    if (scope === undefined) {
      throw new V6Error('V6_USAGE', `--scope is ${JSON.stringify(flags.scope)}`, {
        hints: ['Use user, system, demo or demo-NAME.'],
      });
    }
    return scope;
  }
  if (flags.demo) return 'demo';
  if (flags.system) return 'system';
  return flags.user ? 'user' : undefined;
}
