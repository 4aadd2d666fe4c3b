import path from 'node:path';
import { Kysely, PostgresDialect, SqliteDialect, sql } from 'kysely';
import { V6Error } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/logger.ts';
import { createTurns } from '../../core/turns.ts';
import type { EventBus } from '../../server/interfaces/event-bus.ts';
import type { Store } from '../../server/interfaces/store.ts';
import { migrate } from './migrations.ts';
import { isPostgresUri, parsePostgresUri } from './postgres-uri.ts';
import type { Schema } from './schema.ts';
import { type RoleSeed, seed } from './seed.ts';
import { openSqlite } from './sqlite.ts';
import { sqliteCheck } from './sqlite-check.ts';
import { type StoreParts, storeOf } from './store.ts';
import { whenThere } from './when-there.ts';

export interface OpenStoreInput {
  /**
   * As in the server's configuration: `sqlite:///file.sqlite` (in `dataDir`), `sqlite:////absolute/file`, `sqlite:///:memory:`,
   * or `postgresql://user:password@host:port/database`.
   */
  readonly uri: string;
  /** Absolute. */
  readonly dataDir: string;
  /** Roles that must exist, in the order of their ids, with all the rules there are. */
  readonly roles: readonly RoleSeed[];
  /** Hears of a PostgreSQL that is waited for. Default: nobody. */
  readonly logger?: Logger;
  /** How long to wait for a PostgreSQL that does not answer; default 60 000 ms. */
  readonly waitMs?: number;
}

const WAIT_MS = 60_000;

/** Opens the database and brings its schema up to date, one replica after the other. Throws V6_DATABASE, V6_CONFIG_INVALID. */
export async function openStore(input: OpenStoreInput): Promise<Store> {
  const opened = isPostgresUri(input.uri) ? await openPostgres(input) : openFile(input);
  const { db, parts } = opened;
  try {
    await opened.whenThere();
    await parts.exclusively('schema', async () => {
      await migrate(opened.patientDb);
      await seed(db, input.roles);
    });
  } catch (error) {
    await parts.close();
    throw error;
  }
  return storeOf(db, parts);
}

interface Opened {
  readonly db: Kysely<Schema>;
  /** For migrations: its statements may take long. */
  readonly patientDb: Kysely<Schema>;
  readonly parts: StoreParts;
  /** Resolves when the database answers. */
  whenThere(): Promise<void>;
}

function openFile({ uri, dataDir }: OpenStoreInput): Opened {
  const file = sqliteFile(uri, dataDir);
  const database = openSqlite(file);
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database }) });
  return {
    db,
    patientDb: db,
    parts: {
      isShared: false,
      exclusively: createTurns(),
      checkWritable: sqliteCheck(db, file),
      close: () => db.destroy(),
    },
    whenThere: async () => undefined,
  };
}

/** The driver is loaded only where it is used. */
async function openPostgres({ uri, logger, waitMs }: OpenStoreInput): Promise<Opened> {
  const address = parsePostgresUri(uri);
  const postgres = (await import('./postgres.ts')).openPostgres(address);
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: postgres.pool }) });
  const patientDb = new Kysely<Schema>({
    dialect: new PostgresDialect({ pool: postgres.patientPool }),
  });
  return {
    db,
    patientDb,
    parts: {
      isShared: true,
      exclusively: postgres.exclusively,
      checkWritable: () => refuseStandby(db),
      close: async () => {
        await Promise.all([db.destroy(), patientDb.destroy()]);
        await postgres.close();
      },
    },
    whenThere: () =>
      whenThere(
        async () => {
          await sql`select 1`.execute(db);
        },
        { limitMs: waitMs ?? WAIT_MS, logger: logger ?? silentLogger },
      ),
  };
}

/** A standby answers, and takes no writes. */
async function refuseStandby(db: Kysely<Schema>): Promise<void> {
  const found = await sql<{ standby: boolean }>`select pg_is_in_recovery() as standby`
    .execute(db)
    .catch(() => undefined);
  if (found?.rows[0]?.standby !== false)
    throw new V6Error('V6_DATABASE', 'The database takes no writes');
}

/** SQLAlchemy's spelling: three slashes and a relative path, four and an absolute one. Throws V6_CONFIG_INVALID. */
export function sqliteFile(uri: string, dataDir: string): string {
  const match = /^sqlite(?:\+[a-z0-9_]+)?:\/\/\/?(.*)$/.exec(uri);
  if (match === null) {
    throw new V6Error('V6_CONFIG_INVALID', 'uri names neither SQLite nor PostgreSQL', {
      hints: [
        'Set uri to sqlite:///default.sqlite (a file in the data folder), or to postgresql://user:password@host:5432/database.',
      ],
      details: { dialect: uri.split(':')[0] },
    });
  }
  const name = match[1] ?? '';
  if (name === '' || name === ':memory:') return ':memory:';
  return path.resolve(dataDir, name);
}

/** Carries events between the replicas of a server; undefined where there is one only. Throws V6_CONFIG_INVALID. */
export async function openEventBus(uri: string, logger: Logger): Promise<EventBus | undefined> {
  if (!isPostgresUri(uri)) return undefined;
  const { PostgresEventBus } = await import('./event-bus.ts');
  return new PostgresEventBus(parsePostgresUri(uri), logger);
}
