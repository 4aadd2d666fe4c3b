import { type CreateTableBuilder, type Kysely, SqliteAdapter } from 'kysely';

/** True for SQLite, false for PostgreSQL: migrations and queries ask only where the two differ. */
export const isSqlite = (db: Pick<Kysely<unknown>, 'getExecutor'>): boolean =>
  db.getExecutor().adapter instanceof SqliteAdapter;

/**
 * A new table with its primary key `id`, a positive 32-bit integer that the database counts up. None is given out twice
 * (AUTOINCREMENT on SQLite, a sequence on PostgreSQL), so a token or link of a deleted record stays dead.
 */
export function withId(db: Kysely<unknown>, table: string): CreateTableBuilder<string, 'id'> {
  return db.schema
    .createTable(table)
    .addColumn('id', 'integer', (column) =>
      isSqlite(db)
        ? column.primaryKey().autoIncrement()
        : column.primaryKey().generatedByDefaultAsIdentity(),
    );
}

/** An index named after its table and columns. */
export async function addIndex(
  db: Kysely<unknown>,
  table: string,
  columns: string[],
): Promise<void> {
  await db.schema
    .createIndex(`${table}_by_${columns.join('_')}`)
    .on(table)
    .columns(columns)
    .execute();
}
