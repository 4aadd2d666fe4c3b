import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { V6Error } from '../../core/errors.ts';
import type { PortalStore } from '../../portal/interfaces/store.ts';
import { MIGRATIONS } from './migrations.ts';
import { SqlitePortalStore } from './store.ts';

/**
 * Opens the portal's database, made and migrated when needed. The file has mode 0600. Throws V6_DATABASE, also when a newer
 * version of v6 has written it. `:memory:` is for tests.
 */
export function openPortalDatabase(file: string): PortalStore {
  try {
    if (file !== ':memory:') {
      closeSync(openSync(file, 'a', 0o600));
      chmodSync(file, 0o600);
    }
    const database = new DatabaseSync(file, { timeout: 5000 });
    // FULL: what was acknowledged survives a power cut.
    database.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;',
    );
    migrate(database, file);
    return new SqlitePortalStore(database);
  } catch (cause) {
    if (cause instanceof V6Error) throw cause;
    throw new V6Error('V6_DATABASE', `The portal's database cannot be opened: ${file}`, {
      cause,
      hints: ['Check that its folder exists, is writable, and that the disk is not full.'],
    });
  }
}

function migrate(database: DatabaseSync, file: string): void {
  const { user_version: version } = database.prepare('PRAGMA user_version').get() as {
    user_version: number;
  };
  if (version > MIGRATIONS.length) {
    throw new V6Error(
      'V6_DATABASE',
      `${file} was written by a newer version of v6 (schema ${version}, known up to ${MIGRATIONS.length})`,
      { hints: ['Run the newer version of v6, or restore the database from before its update.'] },
    );
  }
  for (const [index, statements] of MIGRATIONS.entries()) {
    if (index < version) continue;
    database.exec(`BEGIN IMMEDIATE; ${statements}; PRAGMA user_version = ${index + 1}; COMMIT;`);
  }
}
