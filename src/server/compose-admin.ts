import { openStore } from '../adapters/database/open.ts';
import { parseServerConfig, type ServerConfig } from '../core/config/server-config.ts';
import type { Context } from '../core/context.ts';
import { V6Error } from '../core/errors.ts';
import { FIXED_ROLES } from './auth/roles.ts';
import { checkSecretBelongs, loadServerKeys, type ServerKeys } from './auth/secret.ts';
import { composeServerFiles } from './compose-host.ts';
import { databasePlace } from './host/database-place.ts';
import type { CountNodes } from './host/server-status.ts';
import type { Store } from './interfaces/store.ts';

/** The database of a server, opened beside it or without it. */
export interface ServerAdmin {
  readonly config: ServerConfig;
  readonly context: Context;
  readonly store: Store;
  readonly keys: ServerKeys;
  close(): Promise<void>;
}

export interface OpenAdminInput {
  readonly context: Context;
  /** VANTAGE6_DB_URI; wins over the file. */
  readonly databaseUri?: string | undefined;
}

/**
 * Opens the database that a configuration names, makes or updates its tables, and checks that the secret in the data folder is
 * its own. A server may run on it meanwhile. Throws V6_CONFIG_*, V6_DATABASE.
 */
export async function openServerAdmin({
  context,
  databaseUri,
}: OpenAdminInput): Promise<ServerAdmin> {
  const config = await readServerConfig({ context, databaseUri });
  const files = await composeServerFiles();
  await files.ensureFolder(context.dataDir);
  const keys = loadServerKeys(context.dataDir, config.jwtSecretKey);
  const store = await openServerStore(config, context.dataDir);
  try {
    await checkSecretBelongs(store.meta, keys);
  } catch (error) {
    await store.close();
    throw error;
  }
  return { config, context, store, keys, close: () => store.close() };
}

/** The database alone. */
export function openServerStore(
  config: Pick<ServerConfig, 'uri'>,
  dataDir: string,
): Promise<Store> {
  return openStore({ uri: config.uri, dataDir, roles: FIXED_ROLES });
}

/** Throws V6_CONFIG_NOT_FOUND, V6_CONFIG_SYNTAX, V6_CONFIG_INVALID. */
export async function readServerConfig({
  context,
  databaseUri,
}: OpenAdminInput): Promise<ServerConfig> {
  const files = await composeServerFiles();
  const { configFile } = context;
  return parseServerConfig(await files.readConfig(configFile), configFile, { uri: databaseUri });
}

/** Counts nodes in the database of a configuration, which must be there already. */
export function nodeCounter(input: OpenAdminInput): CountNodes {
  return async () => {
    const config = await readServerConfig(input);
    const files = await composeServerFiles();
    const { kind, location } = databasePlace(config.uri, input.context.dataDir);
    // Opening would make it.
    if (kind === 'sqlite' && !(await files.isThere(location)))
      throw new V6Error('V6_DATABASE', `There is no database ${location}`);
    const store = await openServerStore(config, input.context.dataDir);
    try {
      const page = { offset: 0, limit: 1, sort: [] };
      const [all, online] = [
        await store.nodes.list({}, page),
        await store.nodes.list({ isOnline: true }, page),
      ];
      return { online: online.total, total: all.total };
    } finally {
      await store.close();
    }
  };
}
