import path from 'node:path';
import type { Context } from '../../core/context.ts';
import { isContextName, LABEL, parseScope, type Scope } from '../../core/labels.ts';
import { findServer, type ServerHostDeps } from './find-server.ts';

/** One line of `v6 server list`. */
export interface ListedServer {
  readonly name: string;
  readonly scope: Scope;
  readonly configFile: string;
  /** False for a server that runs on a file that has gone. */
  readonly hasConfig: boolean;
  readonly running: boolean;
  /** Somebody runs it in the foreground, or systemd does; not `v6 server start`. */
  readonly foreground: boolean;
  readonly how: 'container' | 'process' | null;
  readonly url: string | null;
}

/** A server by its name, in a scope. */
export interface ServerName {
  readonly name: string;
  readonly scope: Scope;
  /** Where it is not the usual place. */
  readonly configFile?: string | undefined;
}

type ListDeps = Pick<ServerHostDeps, 'engine' | 'engineProblem' | 'files' | 'processes'>;

/**
 * Every server of this machine outside demos: those with a configuration in the folder of a scope, and those with a container
 * or process whose configuration lies elsewhere. `contextOf` gives the files of a name.
 */
export async function listServers(
  deps: ListDeps,
  contextOf: (server: ServerName) => Context,
): Promise<readonly ListedServer[]> {
  const known = new Map<string, ServerName>();
  for (const server of [
    ...(await configured(deps, contextOf)),
    ...(await withRunFolder(deps, contextOf)),
    ...(await withContainer(deps)),
  ]) {
    const key = `${server.scope}/${server.name}`;
    if (!known.has(key)) known.set(key, server);
  }
  return Promise.all([...known.values()].map((server) => inspect(deps, contextOf(server))));
}

/** Those that run in the background: what `v6 server stop` may take for meant when no name is given. */
export async function startedServers(
  deps: ListDeps,
  contextOf: (server: ServerName) => Context,
): Promise<readonly ServerName[]> {
  const all = await listServers(deps, contextOf);
  return all.filter(({ running, foreground }) => running && !foreground);
}

/** Those that run. */
export async function runningServers(
  deps: ListDeps,
  contextOf: (server: ServerName) => Context,
): Promise<readonly ServerName[]> {
  const all = await listServers(deps, contextOf);
  return all.filter(({ running }) => running);
}

const SCOPES = ['system', 'user'] as const;

async function configured(
  { files }: ListDeps,
  contextOf: (server: ServerName) => Context,
): Promise<readonly ServerName[]> {
  const found = await Promise.all(
    SCOPES.map(async (scope) => {
      const folder = path.dirname(contextOf({ name: 'any', scope }).configFile);
      return (await files.list(folder))
        .filter((file) => file.endsWith('.yaml'))
        .map((file) => ({ name: file.slice(0, -'.yaml'.length), scope }))
        .filter(({ name }) => isContextName(name));
    }),
  );
  return found.flat();
}

async function withRunFolder(
  { files }: ListDeps,
  contextOf: (server: ServerName) => Context,
): Promise<readonly ServerName[]> {
  const found = await Promise.all(
    SCOPES.map(async (scope) => {
      const folder = path.dirname(contextOf({ name: 'any', scope }).runDir);
      return (await files.list(folder)).flatMap((entry) => {
        const name = /^(.+)@server$/.exec(entry)?.[1];
        return name !== undefined && isContextName(name) ? [{ name, scope }] : [];
      });
    }),
  );
  return found.flat();
}

async function withContainer({ engine }: ListDeps): Promise<readonly ServerName[]> {
  const found = (await engine?.containers.list({ [LABEL.kind]: 'server' })) ?? [];
  return found.flatMap(({ labels }) => {
    const scope = parseScope(labels[LABEL.scope] ?? '');
    const { name } = labels;
    if ((scope !== 'system' && scope !== 'user') || name === undefined) return [];
    return [{ name, scope, configFile: labels[LABEL.config] }];
  });
}

async function inspect(deps: ListDeps, context: Context): Promise<ListedServer> {
  const found = await findServer(deps, context);
  const configFile =
    (found?.how === 'process' ? found.record.configFile : found?.container.labels[LABEL.config]) ??
    context.configFile;
  return {
    name: context.name,
    scope: context.scope,
    configFile,
    hasConfig: await deps.files.isThere(configFile),
    running: found?.running === true,
    foreground: found?.how === 'process' && found.record.logFile === undefined,
    how: found?.running ? found.how : null,
    url: found?.running ? (found.url ?? null) : null,
  };
}
