import { setTimeout } from 'node:timers/promises';
import { type IsolationLevel, type Kysely, sql, type Transaction } from 'kysely';
import { isSqlite } from './migrations/tables.ts';
import { isRaced, isUnique, toPostgresError } from './postgres-errors.ts';
import type { Schema } from './schema.ts';

/** The second one runs alone; what is changed outside of transactions can still spoil it. */
const ATTEMPTS = 10;
const MAX_PAUSE_MS = 100;

/**
 * All or nothing, and as if no other transaction ran beside it. SQLite has one connection, so one follows the other; on
 * PostgreSQL the isolation is SERIALIZABLE, and `work` runs again when the database says that two would not fit
 * (https://www.postgresql.org/docs/current/transaction-iso.html). A unique value that is taken is tried once more too:
 * the rival may have put it there after this transaction looked. Inside a transaction it is a part of that one.
 *
 * First everybody runs beside everybody; who was refused runs alone, by a lock that the others share. Small tables are read
 * as a whole, so all that meet there are refused but one: without that lock a hundred at once would try eight times each.
 */
export async function inTransaction<T>(
  db: Kysely<Schema>,
  work: (trx: Kysely<Schema>) => Promise<T>,
): Promise<T> {
  if (db.isTransaction) return work(db);
  if (isSqlite(db)) return db.transaction().execute(work);
  return repeated(db, 'serializable', work);
}

/** For work that begins by locking the one row that it is about (`locked`): no rival can spoil it. */
export async function inLockedTransaction<T>(
  db: Kysely<Schema>,
  work: (trx: Kysely<Schema>) => Promise<T>,
): Promise<T> {
  if (db.isTransaction) return work(db);
  if (isSqlite(db)) return db.transaction().execute(work);
  return repeated(db, 'read committed', work);
}

async function repeated<T>(
  db: Kysely<Schema>,
  level: IsolationLevel,
  work: (trx: Transaction<Schema>) => Promise<T>,
): Promise<T> {
  let isUniqueTried = false;
  for (let attempt = 1; ; attempt++) {
    try {
      return await db
        .transaction()
        .setIsolationLevel(level)
        .execute(async (trx) => {
          if (level === 'serializable') await takeTurn(trx, attempt);
          return work(trx);
        });
    } catch (error) {
      const isFirstUnique: boolean = isUnique(error) && !isUniqueTried && level === 'serializable';
      if (!(isRaced(error) || isFirstUnique) || attempt === ATTEMPTS) throw known(error);
      isUniqueTried ||= isFirstUnique;
      await setTimeout(Math.random() * Math.min(2 ** attempt, MAX_PAUSE_MS));
    }
  }
}

/** LOCK is no query: the transaction sees what was committed before its turn came. */
async function takeTurn(trx: Transaction<Schema>, attempt: number): Promise<void> {
  await (attempt === 1
    ? sql`lock table transaction_turn in row share mode`
    : sql`lock table transaction_turn in exclusive mode`
  ).execute(trx);
}

/** Kysely says in its own words that a transaction went on after a failed statement. */
function known(error: unknown): unknown {
  const isAborted = error instanceof Error && error.name === 'AbortedTransactionError';
  return isAborted ? toPostgresError(error, 'of this server') : error;
}
