import { readFileSync } from 'node:fs';
import { V6Error } from '../../core/errors.ts';

/** TLS towards the database, as libpq's `sslmode` and `sslrootcert` say. */
export type DatabaseTls =
  | false
  | { readonly rejectUnauthorized: boolean; readonly isNameFree: boolean; readonly ca?: string };

export interface PostgresAddress {
  /** Name, address, or the folder of a unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  /** Never in a message or log. */
  readonly password: string | undefined;
  readonly database: string;
  readonly tls: DatabaseTls;
  /** For messages: host, port and database, and nothing secret. */
  readonly label: string;
}

const SCHEME = /^postgres(?:ql)?(?:\+[a-z0-9_]+)?:\/\//i;
const PARAMETERS = ['host', 'port', 'sslmode', 'sslrootcert', 'application_name'];
const MODES = ['disable', 'require', 'verify-ca', 'verify-full'];

/** True for `postgresql://…`, also with a driver behind a plus as SQLAlchemy writes it, and for the older `postgres://…`. */
export const isPostgresUri = (uri: string): boolean => SCHEME.test(uri);

/**
 * Takes SQLAlchemy's spelling apart: `postgresql[+driver]://user:password@host:port/database?sslmode=…`. User and password are
 * percent-encoded. Throws V6_CONFIG_INVALID, without the password.
 */
export function parsePostgresUri(uri: string): PostgresAddress {
  // libpq needs no host behind a user, a URL does.
  const text = uri.replace(SCHEME, 'postgresql://').replace(/^([^/]*\/\/[^/]*@)\//, '$1localhost/');
  if (!URL.canParse(text)) throw invalid('it cannot be read as user:password@host:port/database');
  const url = new URL(text);
  const query = url.searchParams;
  const unknown = [...query.keys()].filter((key) => !PARAMETERS.includes(key));
  if (unknown.length > 0) throw invalid(`${unknown.join(', ')} behind the ? is not known`);
  const database = decoded(url.pathname.slice(1));
  if (database === '') throw invalid('the name of the database is missing');
  const host = query.get('host') ?? (decoded(url.hostname).replace(/^\[|\]$/g, '') || 'localhost');
  const port = Number(query.get('port') ?? (url.port || 5432));
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw invalid('the port is no port');
  return {
    host,
    port,
    user: url.username === '' ? undefined : decoded(url.username),
    password: url.password === '' ? undefined : decoded(url.password),
    database,
    tls: tlsOf(query.get('sslmode') ?? 'disable', query.get('sslrootcert') ?? undefined),
    label: `${host.includes(':') ? `[${host}]` : host}:${port}/${database}`,
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('a % in it is not followed by two hexadecimal digits');
  }
}

/** As libpq: `require` encrypts and trusts anybody, unless a root certificate is named; `verify-full` checks the name too. */
function tlsOf(mode: string, rootFile: string | undefined): DatabaseTls {
  if (!MODES.includes(mode))
    throw invalid(`sslmode ${JSON.stringify(mode)} is none of ${MODES.join(', ')}`);
  if (mode === 'disable') return false;
  const ca = rootFile === undefined ? undefined : readRoot(rootFile);
  return {
    rejectUnauthorized: mode !== 'require' || ca !== undefined,
    isNameFree: mode !== 'verify-full',
    ...(ca === undefined ? {} : { ca }),
  };
}

function readRoot(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new V6Error('V6_CONFIG_INVALID', `sslrootcert ${file} of uri cannot be read`, { cause });
  }
}

const invalid = (problem: string): V6Error =>
  new V6Error('V6_CONFIG_INVALID', `uri, the address of the database, is wrong: ${problem}`, {
    hints: ['It looks like postgresql://user:password@host:5432/database?sslmode=verify-full.'],
  });
