import { statSync } from 'node:fs';
import { type Kysely, sql } from 'kysely';
import { V6Error } from '../../core/errors.ts';
import type { Schema } from './schema.ts';
import { BUSY_TIMEOUT_MS } from './sqlite.ts';

/** A check waits for nobody: the event loop stands still while SQLite waits for a lock. */
const PATIENCE_MS = 100;

/**
 * Whether a database in a file can still be written, beyond that it can be read: its file is the one that was opened (SQLite
 * goes on with a removed one, and everything is lost at the end), and nobody else holds it. The returned check throws V6_DATABASE, with a
 * message for everybody: health is asked for without a token.
 */
export function sqliteCheck(db: Kysely<Schema>, file: string): () => Promise<void> {
  const inMemory = file === ':memory:';
  const opened = inMemory ? undefined : statSync(file).ino;
  return async () => {
    if (inMemory) return;
    if (inodeOf(file) !== opened) {
      throw new V6Error('V6_DATABASE', 'The file of the database was removed or replaced', {
        hints: ['Stop the server, put the file back from a backup, and start it again.'],
        details: { file },
      });
    }
    await db.connection().execute(async (connection) => {
      await sql`pragma busy_timeout = ${sql.raw(String(PATIENCE_MS))}`.execute(connection);
      try {
        await sql`begin immediate`.execute(connection);
        await sql`rollback`.execute(connection);
      } catch (error) {
        throw new V6Error('V6_DATABASE', 'The database takes no writes', { cause: error });
      } finally {
        await sql`pragma busy_timeout = ${sql.raw(String(BUSY_TIMEOUT_MS))}`.execute(connection);
      }
    });
  };
}

function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino;
}
