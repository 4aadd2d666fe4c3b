import type { PostgresPool } from 'kysely';
import pg from 'pg';
import type { InTurn } from '../../core/turns.ts';
import { toPostgresError } from './postgres-errors.ts';
import type { PostgresAddress } from './postgres-uri.ts';

/** Connections per replica that answer requests; PostgreSQL allows 100 in all by default. */
const POOL_SIZE = 10;
/** Connections that hold a lock while something outside is asked (`exclusively`); one more waits its turn. */
const LOCK_POOL_SIZE = 8;
/** For a connection: a new one, or one that others use now. */
const CONNECT_MS = 10_000;
const STATEMENT_MS = 30_000;
/** How long a lock of `exclusively` is waited for: a portal may take its time. */
const EXCLUSIVE_MS = 60_000;
/** OID of int8, which `count` gives; ours stay below 2^53. */
const INT8 = 20;

export interface Postgres {
  /** For Kysely. Its errors are V6Errors. */
  readonly pool: PostgresPool;
  /** For migrations, which may take long. */
  readonly patientPool: PostgresPool;
  /** Runs `work` while no other replica runs one of the same name. Throws V6_DATABASE after 60 s of waiting. */
  readonly exclusively: InTurn;
  close(): Promise<void>;
}

/** Connects to nothing yet: connections are made when needed, and again when the database was away. */
export function openPostgres(address: PostgresAddress): Postgres {
  const main = poolOf(address, {
    max: POOL_SIZE,
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: STATEMENT_MS,
    // On our side, for a database that says nothing any more.
    query_timeout: STATEMENT_MS + 5000,
    lock_timeout: CONNECT_MS,
    idle_in_transaction_session_timeout: STATEMENT_MS,
  });
  const patient = poolOf(address, { max: 2, connectionTimeoutMillis: CONNECT_MS });
  const locks = poolOf(address, {
    max: LOCK_POOL_SIZE,
    connectionTimeoutMillis: EXCLUSIVE_MS,
    lock_timeout: EXCLUSIVE_MS,
  });
  let closed: Promise<unknown> | undefined;
  return {
    pool: translating(main, address.label),
    patientPool: translating(patient, address.label),
    exclusively: (name, work) => holding(locks, address.label, { name, work }),
    close: async () => {
      closed ??= Promise.all([main, patient, locks].map((pool) => pool.end()));
      await closed;
    },
  };
}

/** What a connection needs, for a pool as for a single client. */
export function clientConfigOf(address: PostgresAddress): pg.ClientConfig {
  const { host, port, user, password, database, tls } = address;
  return {
    host,
    port,
    database,
    application_name: 'v6 server',
    keepAlive: true,
    types: { getTypeParser },
    // Undefined would be taken from the environment and the system user: what uri leaves out is left to them, as libpq does.
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ssl:
      tls === false
        ? false
        : {
            rejectUnauthorized: tls.rejectUnauthorized,
            ...(tls.ca === undefined ? {} : { ca: tls.ca }),
            ...(tls.isNameFree ? { checkServerIdentity: () => undefined } : {}),
          },
  };
}

const getTypeParser = ((oid: number, format?: 'text' | 'binary') =>
  oid === INT8
    ? Number
    : (pg.types.getTypeParser as (oid: number, format?: string) => unknown)(
        oid,
        format,
      )) as typeof pg.types.getTypeParser;

function poolOf(address: PostgresAddress, limits: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool({ ...clientConfigOf(address), idleTimeoutMillis: 30_000, ...limits });
  // A connection that breaks is thrown away; who uses it is told by its query. Without a listener Node would end the process.
  const ignore = (): void => undefined;
  pool.on('error', ignore);
  pool.on('connect', (client) => client.on('error', ignore));
  return pool;
}

/** The pool as Kysely asks for it, with our errors. Ending it is left to `close`. */
function translating(pool: pg.Pool, label: string): PostgresPool {
  return {
    options: pool.options,
    end: async () => undefined,
    connect: async () => {
      const client = await connected(pool, label);
      let isBroken = false;
      const query = async (text: string, values: readonly unknown[]): Promise<unknown> => {
        try {
          return await client.query(text, [...values]);
        } catch (error) {
          // After a timeout on our side the answer is still to come: nobody else may get it.
          isBroken ||= (error as { readonly code?: string }).code === undefined;
          throw toPostgresError(error, label);
        }
      };
      return {
        query: query as Awaited<ReturnType<PostgresPool['connect']>>['query'],
        release: (destroy) => client.release(destroy === true || isBroken),
      };
    },
  };
}

async function connected(pool: pg.Pool, label: string): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw toPostgresError(error, label);
  }
}

/** A lock of the session: it ends with the connection, so a replica that dies holds up nobody. */
async function holding<T>(
  pool: pg.Pool,
  label: string,
  { name, work }: { readonly name: string; readonly work: () => Promise<T> },
): Promise<T> {
  const client = await connected(pool, label);
  const key = [`v6 ${name}`];
  try {
    await client.query('select pg_advisory_lock(hashtextextended($1, 0))', key);
  } catch (error) {
    client.release(true);
    throw toPostgresError(error, label);
  }
  try {
    return await work();
  } finally {
    const unlock = client.query('select pg_advisory_unlock(hashtextextended($1, 0))', key);
    const isFreed = await unlock.then(
      () => true,
      () => false,
    );
    client.release(!isFreed);
  }
}
