import path from 'node:path';
import { Kysely, SqliteDialect } from 'kysely';
import { V6Error } from '../../core/errors.ts';
import type { RoleRecord } from '../../server/interfaces/records.ts';
import type { Store } from '../../server/interfaces/store.ts';
import { collaborationStore } from './collaborations.ts';
import { migrate } from './migrations.ts';
import { nodeStore } from './nodes.ts';
import { organizationStore } from './organizations.ts';
import { portStore } from './ports.ts';
import { runStore } from './runs.ts';
import type { Schema } from './schema.ts';
import { openSqlite } from './sqlite.ts';
import { taskStore } from './tasks.ts';
import { userStore } from './users.ts';
import { metaStore, vpnGrantStore } from './vpn-grants.ts';

export interface OpenStoreInput {
  /** As in the server's configuration: `sqlite:///file.sqlite` (in `dataDir`), `sqlite:////absolute/file`, `sqlite:///:memory:`. */
  readonly uri: string;
  /** Absolute. */
  readonly dataDir: string;
  /** Roles that must exist, in the order of their ids. */
  readonly roles: readonly Omit<RoleRecord, 'id'>[];
}

/** Opens the database and brings its schema up to date. Throws V6_DATABASE, V6_CONFIG_INVALID. */
export async function openStore({ uri, dataDir, roles }: OpenStoreInput): Promise<Store> {
  const file = sqliteFile(uri, dataDir);
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: openSqlite(file) }) });
  try {
    await migrate(db);
    for (const role of roles) {
      await db
        .insertInto('role')
        .values({ name: role.name, description: role.description })
        .onConflict((conflict) =>
          conflict.column('name').doUpdateSet({ description: role.description }),
        )
        .execute();
    }
  } catch (error) {
    await db.destroy();
    throw error;
  }
  return storeOf(db);
}

function storeOf(db: Kysely<Schema>): Store {
  return {
    organizations: organizationStore(db),
    collaborations: collaborationStore(db),
    nodes: nodeStore(db),
    users: userStore(db),
    tasks: taskStore(db),
    runs: runStore(db),
    ports: portStore(db),
    vpnGrants: vpnGrantStore(db),
    meta: metaStore(db),
    transaction: (work) =>
      db.isTransaction ? work(storeOf(db)) : db.transaction().execute((trx) => work(storeOf(trx))),
    check: async () => {
      try {
        await db.selectFrom('role').select('id').limit(1).execute();
      } catch (error) {
        throw new V6Error('V6_DATABASE', 'The database does not answer', { cause: error });
      }
    },
    close: () => db.destroy(),
  };
}

/** SQLAlchemy's spelling: three slashes and a relative path, four and an absolute one. */
export function sqliteFile(uri: string, dataDir: string): string {
  const match = /^sqlite(?:\+[a-z0-9_]+)?:\/\/\/?(.*)$/.exec(uri);
  if (match === null) {
    throw new V6Error('V6_CONFIG_INVALID', 'This version of v6 keeps its data in SQLite only', {
      hints: ['Set uri to sqlite:///default.sqlite; the file is made in the data folder.'],
      details: { dialect: uri.split(':')[0] },
    });
  }
  const name = match[1] ?? '';
  if (name === '' || name === ':memory:') return ':memory:';
  return path.resolve(dataDir, name);
}
