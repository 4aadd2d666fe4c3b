import { parseServerConfig } from '../../core/config/server-config.ts';
import type { Context } from '../../core/context.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import { V6_VERSION } from '../../core/labels.ts';
import { type DatabasePlace, databasePlace } from './database-place.ts';
import { type FoundServer, findServer, type ServerHostDeps } from './find-server.ts';
import { notRunning } from './stop-server.ts';

/** Result of `v6 server status`; with --json the document itself (schemas/server-status.json). Null: not known. */
export interface ServerStatus {
  readonly name: string;
  readonly scope: string;
  readonly configFile: string;
  readonly running: boolean;
  readonly how: 'container' | 'process' | null;
  readonly container: {
    readonly name: string;
    readonly image: string;
    readonly state: string;
  } | null;
  readonly pid: number | null;
  readonly url: string | null;
  /** Whether `/health` answers 200. */
  readonly healthy: boolean | null;
  /** Of v6. */
  readonly version: string | null;
  /** The version of vantage6 whose interface it speaks, as it says itself. */
  readonly protocol: string | null;
  /** ISO 8601. */
  readonly since: string | null;
  readonly database: DatabasePlace | null;
  readonly nodes: { readonly online: number; readonly total: number } | null;
  readonly logFile: string | null;
  /** Why something above is not known. */
  readonly problems: readonly string[];
}

/** Counts the nodes in the database of a server. */
export type CountNodes = () => Promise<{ readonly online: number; readonly total: number }>;

/**
 * What a server does, as far as it can be found out; what cannot is null, with a sentence. The database is asked only when the
 * server that runs has our version: another one's schema is not ours to read. Throws V6_ENGINE_*.
 */
export async function serverStatus(
  deps: ServerHostDeps,
  context: Context,
  options: { readonly countNodes: CountNodes; readonly databaseUri?: string | undefined },
): Promise<ServerStatus> {
  const found = await findServer(deps, context);
  const problems: string[] = [];
  const database = await placeOf(deps, context, { ...options, problems });
  const parts = { ...describe(found), ...(await ask(deps, found)) };
  const nodes =
    parts.version === V6_VERSION && database !== null
      ? await options.countNodes().catch((error: unknown) => {
          problems.push(`Nodes: ${toV6Error(error).message}`);
          return null;
        })
      : null;
  if (parts.running && parts.protocol === null) problems.push(`${parts.url} does not answer.`);
  if (parts.version !== null && parts.version !== V6_VERSION)
    problems.push(`The server runs version ${parts.version}; this command line is ${V6_VERSION}.`);
  const { name, scope, configFile } = context;
  return { name, scope, configFile, ...parts, database, nodes, problems };
}

async function placeOf(
  { files }: Pick<ServerHostDeps, 'files'>,
  { configFile, dataDir }: Context,
  {
    databaseUri,
    problems,
  }: { readonly databaseUri?: string | undefined; readonly problems: string[] },
): Promise<DatabasePlace | null> {
  try {
    const config = parseServerConfig(await files.readConfig(configFile), configFile);
    return databasePlace(databaseUri ?? config.uri, dataDir);
  } catch (error) {
    problems.push(toV6Error(error).message);
    return null;
  }
}

function describe(found: FoundServer | undefined) {
  const running = found?.running === true;
  const record = found?.how === 'process' ? found.record : undefined;
  const container = found?.how === 'container' ? found.container : undefined;
  return {
    running,
    how: found?.running ? found.how : null,
    container:
      container === undefined
        ? null
        : { name: container.name, image: container.image, state: container.state },
    pid: record?.pid ?? null,
    url: found?.running ? (found.url ?? null) : null,
    version: found?.running ? (found.version ?? null) : null,
    since: running ? (record?.since ?? container?.startedAt?.toISOString() ?? null) : null,
    logFile: record?.logFile ?? null,
  };
}

async function ask({ probe }: Pick<ServerHostDeps, 'probe'>, found: FoundServer | undefined) {
  if (!found?.running || found.url === undefined) return { healthy: null, protocol: null };
  const [health, protocol] = await Promise.all([probe.health(found.url), probe.version(found.url)]);
  return { healthy: health === 200, protocol: protocol ?? null };
}

/** Result of `v6 server version`. */
export interface ServerVersion {
  readonly server: string;
  readonly url: string;
  /** Of v6, that the server was started with. */
  readonly version: string;
  /** The version of vantage6 whose interface it speaks, as it says itself. */
  readonly protocol: string;
  /** Of this command line. */
  readonly cli: string;
}

/** Asks a running server. Throws V6_SERVER_NOT_RUNNING, V6_SERVER_UNREACHABLE, V6_ENGINE_*. */
export async function askVersion(deps: ServerHostDeps, context: Context): Promise<ServerVersion> {
  const found = await findServer(deps, context);
  if (!found?.running) throw notRunning(context);
  const { url = '', version = 'unknown' } = found;
  const protocol = url === '' ? undefined : await deps.probe.version(url);
  if (protocol !== undefined)
    return { server: context.name, url, version, protocol, cli: V6_VERSION };
  throw new V6Error(
    'V6_SERVER_UNREACHABLE',
    `The server ${context.name} does not answer at ${url}`,
    {
      hints: [`See why: v6 server logs --name ${context.name} --tail 20`],
      details: { url },
    },
  );
}
