import { parseServerConfig } from '../../core/config/server-config.ts';
import type { Context } from '../../core/context.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import { databasePlace } from './database-place.ts';
import { findServer, type ServerHostDeps } from './find-server.ts';
import { removeRunFolder } from './server-record.ts';

/** One place of `v6 server files`. */
export interface ServerPlace {
  readonly what: 'configuration' | 'data' | 'logs' | 'run' | 'database' | 'secret';
  readonly path: string;
  readonly exists: boolean;
}

/** Where the files of a server are, whether they exist or not. The secret belongs to the database: back both up. */
export async function serverPlaces(
  { files }: Pick<ServerHostDeps, 'files'>,
  context: Context,
): Promise<readonly ServerPlace[]> {
  const { configFile, dataDir, logDir, runDir } = context;
  const database = await sqliteFile({ files }, context);
  const places: readonly (readonly [ServerPlace['what'], string])[] = [
    ['configuration', configFile],
    ['data', dataDir],
    ...(database === undefined ? [] : [['database', database] as const]),
    ['secret', `${dataDir}/server-secret`],
    ['logs', logDir],
    ['run', runDir],
  ];
  return Promise.all(
    places.map(async ([what, path]) => ({ what, path, exists: await files.isThere(path) })),
  );
}

/** Undefined for another kind of database, and when the configuration cannot be read. */
async function sqliteFile(
  { files }: Pick<ServerHostDeps, 'files'>,
  { configFile, dataDir }: Context,
): Promise<string | undefined> {
  try {
    const config = parseServerConfig(await files.readConfig(configFile), configFile);
    const { kind, location } = databasePlace(config.uri, dataDir);
    return kind === 'sqlite' && location !== ':memory:' ? location : undefined;
  } catch (error) {
    if (isV6Error(error)) return undefined;
    throw error;
  }
}

/** Result of `v6 server remove`; paths. */
export interface RemovedServer {
  readonly name: string;
  readonly scope: string;
  readonly removed: readonly string[];
  /** What stays on purpose. */
  readonly remains: readonly string[];
}

/**
 * Removes the configuration of a server that does not run, its logs, and with `withData` its data folder: database, secret and
 * keys, for good. A database elsewhere stays. Throws V6_SERVER_RUNNING, V6_CONFIG_NOT_FOUND when there is nothing to remove.
 */
export async function removeServer(
  deps: ServerHostDeps,
  context: Context,
  options: { readonly withData: boolean },
): Promise<RemovedServer> {
  const found = await findServer(deps, context);
  if (found?.running) {
    throw new V6Error('V6_SERVER_RUNNING', `The server ${context.name} runs`, {
      hints: [`Stop it first: v6 server stop --name ${context.name}`],
    });
  }
  const { configFile, dataDir, logDir, name, scope } = context;
  const candidates = [
    configFile,
    `${configFile}.bak`,
    `${logDir}/server_${scope}.log`,
    `${logDir}/server_${scope}.log.1`,
  ];
  const there = await Promise.all(candidates.map((file) => deps.files.isThere(file)));
  const removed = candidates.filter((_, at) => there[at]);
  const hasData = await deps.files.isThere(dataDir);
  if (removed.length === 0 && !hasData) {
    throw new V6Error('V6_CONFIG_NOT_FOUND', `There is no server ${name} (${scope})`, {
      hints: ['See which servers there are: v6 server list'],
      details: { file: configFile },
    });
  }
  if (found?.how === 'container') await deps.engine?.containers.remove(found.container.id);
  for (const file of removed) await deps.files.removeFile(file);
  if (options.withData) await deps.files.removeFolder(dataDir);
  // Only when nothing is left in it: the data folder of a system server is its log folder too.
  await deps.files.removeEmptyFolders([dataDir, logDir]);
  await removeRunFolder(deps.files, context);
  const remains = (await deps.files.isThere(dataDir)) ? [dataDir] : [];
  return {
    name,
    scope,
    removed: [...removed, ...(hasData && remains.length === 0 ? [dataDir] : [])],
    remains,
  };
}
