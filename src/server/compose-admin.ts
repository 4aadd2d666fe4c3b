import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { openStore } from '../adapters/database/open.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import {
  allowsDropAll,
  parseServerConfig,
  type ServerConfig,
} from '../core/config/server-config.ts';
import type { Context } from '../core/context.ts';
import { V6Error } from '../core/errors.ts';
import { type ImportInput, importEntities } from './admin/import.ts';
import type { ImportReport } from './admin/import-report.ts';
import type { NodeAdminDeps } from './admin/nodes.ts';
import type { ShownUser } from './admin/users.ts';
import { randomPassword } from './auth/passwords.ts';
import { FIXED_ROLES } from './auth/roles.ts';
import { checkSecretBelongs, loadServerKeys, type ServerKeys } from './auth/secret.ts';
import { composeServerFiles } from './compose-host.ts';
import { databasePlace } from './host/database-place.ts';
import type { CountNodes } from './host/server-status.ts';
import type { ServerFiles } from './interfaces/host.ts';
import type { Store } from './interfaces/store.ts';

/** The database of a server, opened beside it or without it. */
export interface ServerAdmin {
  readonly config: ServerConfig;
  readonly context: Context;
  readonly store: Store;
  readonly keys: ServerKeys;
  readonly clock: Clock;
  /** `allow_drop_all` of the configuration. */
  readonly mayDropAll: boolean;
  readonly files: ServerFiles;
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
  const files = await composeServerFiles();
  const { configFile } = context;
  const text = await files.readConfig(configFile);
  const config = parseServerConfig(text, configFile, { uri: databaseUri });
  const mayDropAll = allowsDropAll(text, configFile);
  await files.ensureFolder(context.dataDir);
  const keys = loadServerKeys(context.dataDir, config.jwtSecretKey);
  const store = await openServerStore(config, context.dataDir);
  try {
    await checkSecretBelongs(store.meta, keys);
  } catch (error) {
    await store.close();
    throw error;
  }
  const clock = systemClock;
  return { config, context, store, keys, clock, mayDropAll, files, close: () => store.close() };
}

/** A file of entities, read before anything is opened. Throws V6_IMPORT_INVALID when it cannot be read. */
export async function composeImport(file: string, secretsFile: string | undefined) {
  const text = await readImportText(file);
  return {
    import: (
      { store, keys, clock, files, context }: ServerAdmin,
      options: Omit<ImportInput, 'file' | 'text'>,
    ): Promise<ImportReport> => {
      const stamp = clock
        .now()
        .toISOString()
        .replaceAll(/[-:]|\..*$/g, '');
      const target = path.resolve(secretsFile ?? `${context.dataDir}/import-${stamp}.yaml`);
      const secrets = {
        write: async (content: string) => {
          await files.write(target, content);
          return target;
        },
        remove: (written: string) => files.removeFile(written),
        read: async (named: string) =>
          (await readImportText(path.resolve(path.dirname(file), named))).split(/\r?\n/, 1)[0] ??
          '',
      };
      const deps = { store, apiKeyDigestKey: keys.apiKey, clock, secrets };
      return importEntities(deps, { file, text, ...options });
    },
  };
}

async function readImportText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new V6Error('V6_IMPORT_INVALID', `${file} cannot be read: ${reason}`, { cause });
  }
}

/** Opens, works and closes. Throws what either does. */
export async function withServerAdmin<T>(
  input: OpenAdminInput,
  work: (admin: ServerAdmin) => Promise<T>,
): Promise<T> {
  const admin = await openServerAdmin(input);
  try {
    return await work(admin);
  } finally {
    await admin.close();
  }
}

/**
 * Runs `work` with the password that was given. Without one it is generated, and written to a 0600 file first, which goes again when `work` fails.
 * Throws V6_CONFIG_WRITE and what `work` throws.
 */
export async function keepPassword(
  { files, context }: Pick<ServerAdmin, 'files' | 'context'>,
  { username, given }: { readonly username: string; readonly given: string | undefined },
  work: (password: string) => Promise<ShownUser>,
): Promise<{ readonly user: ShownUser; readonly passwordFile: string | null }> {
  if (given !== undefined) return { user: await work(given), passwordFile: null };
  const password = randomPassword();
  const passwordFile = `${context.dataDir}/password-${fileName(username)}`;
  const user = await keeping(files, { file: passwordFile, text: `${password}\n` }, () =>
    work(password),
  );
  return { user, passwordFile };
}

/** Keeps the API key of a node in a 0600 file, which goes again when the work fails. */
export function nodeAdmin(
  { store, keys, files, context }: ServerAdmin,
  wanted: { readonly file: string | undefined; readonly node: string },
) {
  const file = path.resolve(wanted.file ?? `${context.dataDir}/api-key-${fileName(wanted.node)}`);
  return {
    file,
    keeping: async <T>(work: (deps: NodeAdminDeps) => Promise<T>): Promise<T> => {
      let isWritten = false;
      const keepKey = async (apiKey: string): Promise<void> => {
        await files.write(file, `${apiKey}\n`);
        isWritten = true;
      };
      try {
        return await work({ store, apiKeyDigestKey: keys.apiKey, keepKey });
      } catch (error) {
        if (isWritten) await files.removeFile(file);
        throw error;
      }
    },
  };
}

async function keeping<T>(
  files: ServerFiles,
  { file, text }: { readonly file: string; readonly text: string },
  work: () => Promise<T>,
): Promise<T> {
  await files.write(file, text);
  try {
    return await work();
  } catch (error) {
    await files.removeFile(file);
    throw error;
  }
}

const fileName = (name: string): string => name.replaceAll(/[^\w.]+/g, '-').slice(0, 100);

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
