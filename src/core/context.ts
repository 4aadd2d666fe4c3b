import { V6Error } from './errors.ts';
import { isContextName, isDemoScope, type Scope } from './labels.ts';

/** What a command works on: one node or server by name, with its files. Paths are absolute. */
export interface Context {
  readonly type: 'node' | 'server' | 'portal';
  readonly name: string;
  readonly scope: Scope;
  readonly configFile: string;
  /** Survives restarts: databases, keys, run folders. */
  readonly dataDir: string;
  readonly logDir: string;
  /** Sockets. Short, because the path of a unix socket has 107 bytes at most (unix(7)). */
  readonly runDir: string;
}

export interface HostFolders {
  /** $HOME */
  readonly home: string;
  readonly isRoot: boolean;
  readonly xdgConfigHome?: string | undefined;
  readonly xdgDataHome?: string | undefined;
  readonly xdgCacheHome?: string | undefined;
  readonly xdgRuntimeDir?: string | undefined;
}

const join = (...parts: string[]): string => parts.join('/');

/** The folder that holds all files of a demo, and only those. */
export function demoRoot(scope: Scope, folders: HostFolders): string {
  return join(folders.xdgDataHome ?? join(folders.home, '.local/share'), 'v6', scope);
}

/** Upstream's folders on Linux (vantage6 4.14, `v6 node files`), ours for what upstream does not have. */
export function contextFor(
  type: Context['type'],
  name: string,
  scope: Scope,
  folders: HostFolders,
  configFile?: string,
): Context {
  if (!isContextName(name)) {
    throw new V6Error('V6_USAGE', `${JSON.stringify(name)} is not a name for a ${type}`, {
      hints: ['Use letters, digits, dot, dash and underscore, 64 characters at most.'],
    });
  }
  const { home } = folders;
  const config = folders.xdgConfigHome ?? join(home, '.config');
  const data = folders.xdgDataHome ?? join(home, '.local/share');
  const cache = folders.xdgCacheHome ?? join(home, '.cache');
  const runRoot = folders.isRoot
    ? '/run/v6'
    : join(folders.xdgRuntimeDir ?? join(cache, 'v6/run'), 'v6');
  // The at sign is in no name: a node that is called like a server removes its own folder only.
  const runNames = { node: name, server: `${name}@server`, portal: 'portal' } as const;
  const runDir = join(runRoot, scope, runNames[type]);
  if (scope === 'system') {
    const shared = `/usr/local/share/vantage6/${type}/${name}`;
    return {
      type,
      name,
      scope,
      configFile: configFile ?? `/etc/vantage6/${type}/${name}.yaml`,
      dataDir: shared,
      logDir: shared,
      runDir,
    };
  }
  if (isDemoScope(scope)) {
    const root = join(demoRoot(scope, folders), type, name);
    return {
      type,
      name,
      scope,
      configFile: configFile ?? join(root, 'config.yaml'),
      dataDir: join(root, 'data'),
      logDir: join(root, 'log'),
      runDir,
    };
  }
  return {
    type,
    name,
    scope,
    configFile: configFile ?? join(config, 'vantage6', type, `${name}.yaml`),
    dataDir: join(data, 'vantage6', type, name),
    logDir: join(cache, 'vantage6/log', type, name),
    runDir,
  };
}
