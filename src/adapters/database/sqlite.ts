import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import type { SqliteDatabase, SqliteStatement } from 'kysely';
import { V6Error } from '../../core/errors.ts';

/** Extended result codes of SQLite (https://www.sqlite.org/rescode.html). */
const UNIQUE = 2067;
const PRIMARY_KEY = 1555;
const FOREIGN_KEY = 787;
const BUSY = 5;
/** How long a statement waits for another program that holds the database. */
export const BUSY_TIMEOUT_MS = 5000;
/** How many prepared statements are kept: preparing costs several times what most of ours take. */
const STATEMENTS = 200;

/**
 * Opens the file, creating it 0600, in the shape that Kysely's SQLite dialect asks for.
 *
 * WAL with synchronous FULL: the log is flushed at every commit, so what was acknowledged survives a power cut. NORMAL would
 * flush at checkpoints only and lose the last commits then (https://www.sqlite.org/pragma.html#pragma_synchronous).
 */
export function openSqlite(file: string): SqliteDatabase {
  const db = translating(file, () => {
    if (file !== ':memory:') closeSync(openSync(file, 'a', 0o600));
    const opened = new DatabaseSync(file, {
      timeout: BUSY_TIMEOUT_MS,
      enableForeignKeyConstraints: true,
    });
    opened.exec('PRAGMA journal_mode = WAL');
    opened.exec('PRAGMA synchronous = FULL');
    return opened;
  });
  const prepare = (text: string): SqliteStatement => {
    const statement = db.prepare(text);
    return {
      reader: statement.columns().length > 0,
      all: (values) => translating(file, () => statement.all(...bind(values))),
      run: (values) => translating(file, () => statement.run(...bind(values))),
      iterate: (values) => statement.iterate(...bind(values)),
    };
  };
  const prepared = new Map<string, SqliteStatement>();
  return {
    close: () => db.close(),
    prepare: (text) => {
      const known = prepared.get(text);
      if (known !== undefined) return known;
      const statement = translating(file, () => prepare(text));
      // Statements notice a changed schema by themselves. Lists of ids make many texts: the oldest goes.
      prepared.set(text, statement);
      if (prepared.size > STATEMENTS) prepared.delete(prepared.keys().next().value ?? '');
      return statement;
    },
  };
}

function bind(values: readonly unknown[]): SQLInputValue[] {
  return values.map((value) => {
    if (typeof value === 'boolean') return Number(value);
    if (value instanceof Date) return value.toISOString();
    return value as SQLInputValue;
  });
}

function translating<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toDatabaseError(error, file);
  }
}

/** V6_REQUEST_CONFLICT for a constraint, V6_DATABASE for the rest. Texts of SQLite hold names of columns, never values. */
function toDatabaseError(error: unknown, file: string): V6Error {
  const { errcode, message = '' } = error as { errcode?: number; message?: string };
  if (errcode === UNIQUE || errcode === PRIMARY_KEY) {
    const columns = /failed: (.*)$/.exec(message)?.[1] ?? '';
    return new V6Error('V6_REQUEST_CONFLICT', `This exists already (${columns})`, {
      details: { columns },
      cause: error,
    });
  }
  if (errcode === FOREIGN_KEY) {
    return new V6Error('V6_REQUEST_CONFLICT', 'A record that this one refers to does not exist', {
      cause: error,
    });
  }
  return new V6Error('V6_DATABASE', `The database ${file} failed: ${message}`, {
    cause: error,
    hints:
      errcode === BUSY
        ? ['Another program holds the database: is a second server running on it?']
        : ['Check that the folder exists, that it is writable and that the disk is not full.'],
  });
}
