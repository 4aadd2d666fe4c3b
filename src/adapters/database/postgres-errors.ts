import { V6Error } from '../../core/errors.ts';

/** What pg gives: SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) or a code of the system. */
interface PgError {
  readonly code?: string;
  readonly message?: string;
  readonly table?: string;
  readonly detail?: string;
  readonly constraint?: string;
}

const UNIQUE = '23505';
const FOREIGN_KEY = '23503';
/** Values that a column cannot hold: too long a number, no number, a NUL in a text. */
const UNFIT = new Set(['22001', '22003', '22021', '22P02', '22P05']);
const SERIALIZATION = '40001';
const DEADLOCK = '40P01';
/** Wrong credentials or database: trying again changes nothing. */
const REFUSED = new Set(['28P01', '28000', '3D000', '42501']);

/** V6_REQUEST_CONFLICT for a constraint, V6_REQUEST_INVALID for an unfit value, V6_DATABASE for the rest; never with a value or password. */
export function toPostgresError(error: unknown, label: string): V6Error {
  if (error instanceof V6Error) return error;
  const { code, message = '', table, detail, constraint } = error as PgError;
  if (code === UNIQUE) {
    const columns = columnsOf(table, detail) ?? constraint ?? '';
    return new V6Error('V6_REQUEST_CONFLICT', `This exists already (${columns})`, {
      details: { columns },
      cause: error,
    });
  }
  if (code === FOREIGN_KEY) {
    return new V6Error('V6_REQUEST_CONFLICT', 'A record that this one refers to does not exist', {
      cause: error,
    });
  }
  if (code !== undefined && UNFIT.has(code))
    return new V6Error('V6_REQUEST_INVALID', 'A value cannot be stored', { cause: error });
  return new V6Error('V6_DATABASE', `The database ${label} failed: ${reasonOf(code, message)}`, {
    cause: error,
    hints: [hintFor(code, message)],
  });
}

/** `Key (name, x)=(North, y) already exists.` holds values: only the columns are taken, written as SQLite does. */
function columnsOf(table: string | undefined, detail: string | undefined): string | undefined {
  const names = /^Key \(([\w", ]+)\)=/.exec(detail ?? '')?.[1];
  if (names === undefined || table === undefined) return undefined;
  return names
    .split(', ')
    .map((name) => `${table}.${name.replaceAll('"', '')}`)
    .join(', ');
}

/** An AggregateError of several refused addresses has no message of its own. */
const reasonOf = (code: string | undefined, message: string): string =>
  message === '' ? (code ?? 'no reason given') : message;

function hintFor(code: string | undefined, message: string): string {
  if (code === '3D000') return 'Create the database, with the user of uri as its owner.';
  if (message.includes('no encryption'))
    return 'The database asks for TLS: put ?sslmode=verify-full behind uri.';
  if (code !== undefined && REFUSED.has(code))
    return 'Check user, password and database in uri, and pg_hba.conf of the database.';
  return 'Check that PostgreSQL runs and that uri has its address; the server connects again by itself.';
}

/** The transaction met another one: run again it can succeed. */
export function isRaced(error: unknown): boolean {
  const code = codeOf(error);
  return code === SERIALIZATION || code === DEADLOCK;
}

export const isUnique = (error: unknown): boolean => codeOf(error) === UNIQUE;

/** The database may come: it starts, is not reachable, or has no connection free. False for wrong credentials. */
export function isAway(error: unknown): boolean {
  if (!(error instanceof V6Error) || error.code !== 'V6_DATABASE') return false;
  const code = codeOf(error);
  if (code === undefined) return true;
  const isOfSystem = /^E[A-Z_]+$/.test(code);
  return isOfSystem || /^(08|53|57)/.test(code);
}

function codeOf(error: unknown): string | undefined {
  const { cause } = error as { readonly cause?: PgError };
  return cause?.code;
}
