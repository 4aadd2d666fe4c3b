import { V6Error } from '../errors.ts';
import { type Cidr, parseCidr } from '../net/ipv4.ts';
import { KeyReader } from './key-reader.ts';
import type { PortalSettings } from './portal-settings.ts';
import { withLines } from './problem-lines.ts';
import { type AccountSettings, readAccounts, readJwtSecretKey } from './server-accounts.ts';
import { type OperationSettings, readOperation } from './server-operation.ts';
import { readTransport, type TransportSettings } from './server-transport.ts';
import { parseVpnServerBlock, refuseMisplacedPortalKeys } from './vpn-server-block.ts';
import { parseYamlMapping } from './yaml.ts';

/** A server's configuration after parsing: upstream's keys (vantage6 4.14) as far as we use them, and ours, each marked. */
export interface ServerConfig {
  readonly description: string;
  /** Address to listen on; default 0.0.0.0. */
  readonly ip: string;
  /** 1–65535; default 7601, as upstream's wizard has it. */
  readonly port: number;
  /** With leading and without trailing slash, or empty; default `/api`. */
  readonly apiPath: string;
  /** Of the database: `sqlite:///…` or `postgresql://…`. May hold a password: never print it. */
  readonly uri: string;
  /** Signs the tokens. Undefined: the server generates one and keeps it. */
  readonly jwtSecretKey: string | undefined;
  /** Default 6. */
  readonly tokenExpiresHours: number;
  /** Default 48. */
  readonly refreshTokenExpiresHours: number;
  /** `server_url`: own address as others see it, without trailing slash. */
  readonly serverUrl: string | undefined;
  /** Undefined when the file has no `vpn_server`: the server gives out no VPN. */
  readonly vpn: PortalSettings | undefined;
  /**
   * Ours, `vpn_lease_grace` in hours, default 168: with a full portal, the VPN configuration of a node that has been offline
   * for longer may go to another. Milliseconds.
   */
  readonly vpnLeaseGraceMs: number;
  /** Ours, `vpn_trusted_networks`: from there `GET /vpn` may come over plain http without a warning. */
  readonly vpnTrustedNetworks: readonly Cidr[];
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly accounts: AccountSettings;
  readonly transport: TransportSettings;
  readonly operation: OperationSettings;
}

const LEVELS: Readonly<Record<string, ServerConfig['logLevel']>> = {
  NOTSET: 'debug',
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  WARNING: 'warn',
  ERROR: 'error',
  CRITICAL: 'error',
};

/**
 * Reads a server's configuration file. Keys that we do not know are left to others. Throws V6_CONFIG_SYNTAX, V6_CONFIG_INVALID
 * (all problems at once, with lines), V6_CONFIG_SUBNET, and V6_CONFIG_VPN_KEYS_MISPLACED. `overrides.uri` (VANTAGE6_DB_URI) wins
 * over the key, which may then be missing.
 */
export function parseServerConfig(
  text: string,
  file: string,
  overrides: { readonly uri?: string | undefined } = {},
): ServerConfig {
  const mapping = parseYamlMapping(text, file);
  refuseMisplacedPortalKeys(text, file);
  const keys = new KeyReader(mapping);
  const vpn = parseVpnServerBlock(text, file, keys.problems);
  const config: ServerConfig = {
    description: keys.text('description') ?? '',
    ip: readIp(keys),
    port: keys.integer('port', { from: 1, to: 65_535 }) ?? 7601,
    apiPath: readApiPath(keys, mapping.api_path),
    uri: readUri(keys, overrides.uri),
    jwtSecretKey: readJwtSecretKey(keys),
    tokenExpiresHours: readHours(keys, 'token_expires_hours') ?? 6,
    refreshTokenExpiresHours: readHours(keys, 'refresh_token_expires_hours') ?? 48,
    serverUrl: readServerUrl(keys),
    vpn,
    vpnLeaseGraceMs: (readHours(keys, 'vpn_lease_grace') ?? 168) * 3_600_000,
    vpnTrustedNetworks: readNetworks(keys, 'vpn_trusted_networks'),
    logLevel: readLogLevel(keys),
    accounts: readAccounts(keys),
    transport: readTransport(keys),
    operation: readOperation(keys),
  };
  if (keys.problems.length > 0) {
    throw new V6Error(
      'V6_CONFIG_INVALID',
      `${file}: ${withLines(text, [...new Set(keys.problems)]).join('; ')}`,
      { hints: [`Correct ${file}.`], details: { file, problems: [...new Set(keys.problems)] } },
    );
  }
  return config;
}

/**
 * Whether an import may remove everything: upstream's `allow_drop_all`, default false. The text `'False'` that upstream's wizard
 * writes means false. Throws V6_CONFIG_SYNTAX, V6_CONFIG_INVALID.
 */
export function allowsDropAll(text: string, file: string): boolean {
  const keys = new KeyReader(parseYamlMapping(text, file));
  const value = keys.flag('allow_drop_all') ?? false;
  if (keys.problems.length > 0) throw invalidConfig(file, keys.problems);
  return value;
}

/** All problems of a file in one V6_CONFIG_INVALID; each is a sentence that starts with its key. */
export function invalidConfig(
  file: string,
  problems: readonly string[],
  hints: readonly string[] = [`Correct ${file}.`],
): V6Error {
  return new V6Error('V6_CONFIG_INVALID', `${file}: ${problems.join('; ')}`, {
    hints,
    details: { file, problems },
  });
}

function readIp(keys: KeyReader): string {
  const value = keys.text('ip') ?? '0.0.0.0';
  if (!/^[\w.:-]+$/.test(value))
    keys.problem('ip', `must be an address to listen on, not ${JSON.stringify(value)}`);
  return value;
}

// An empty path is an answer here, and null is none.
function readApiPath(keys: KeyReader, value: unknown): string {
  if (value === undefined || value === null) return '/api';
  if (typeof value !== 'string' || !/^[\w./~-]*$/.test(value)) {
    keys.problem('api_path', `must be a path such as /api, not ${JSON.stringify(value)}`);
    return '/api';
  }
  const path = value.replace(/^\/+|\/+$/g, '');
  return path === '' ? '' : `/${path}`;
}

function readUri(keys: KeyReader, override: string | undefined): string {
  const value = override ?? keys.text('uri');
  if (value === undefined) {
    keys.problem('uri', 'is missing: the database, for example sqlite:///default.sqlite');
    return '';
  }
  // SQLAlchemy's spelling: dialect, and optionally a driver behind a plus.
  const dialect = /^([a-z]+)(\+[a-z0-9_]+)?:\/\//.exec(value)?.[1] ?? 'something else';
  if (!['sqlite', 'postgresql', 'postgres'].includes(dialect))
    keys.problem(
      'uri',
      `must start with sqlite:/// or postgresql://, not ${JSON.stringify(dialect)}`,
    );
  return value;
}

function readHours(keys: KeyReader, key: string): number | undefined {
  const value = keys.raw(key);
  const hours = typeof value === 'string' ? Number(value) : value;
  if (hours === undefined) return undefined;
  if (typeof hours === 'number' && hours > 0 && hours <= 87_600) return hours;
  keys.problem(
    key,
    `must be a number of hours above 0, at most 87600, not ${JSON.stringify(value)}`,
  );
  return undefined;
}

function readServerUrl(keys: KeyReader): string | undefined {
  const value = keys.text('server_url');
  if (value !== undefined && (!URL.canParse(value) || !/^https?:/.test(value))) {
    keys.problem('server_url', `must start with https:// or http://, not ${JSON.stringify(value)}`);
  }
  return value?.replace(/\/+$/, '');
}

function readNetworks(keys: KeyReader, key: string): readonly Cidr[] {
  const value = keys.raw(key) ?? [];
  if (Array.isArray(value))
    return value.map((item, at) => parseCidr(String(item), `${key}[${at}]`));
  keys.problem(key, 'must be a list of networks such as [10.0.0.0/8]');
  return [];
}

function readLogLevel(keys: KeyReader): ServerConfig['logLevel'] {
  const logging = keys.below('logging');
  const value = logging.text('level');
  const level = LEVELS[value?.toUpperCase() ?? 'INFO'];
  if (level === undefined) {
    const names = 'DEBUG, INFO, WARNING, ERROR or CRITICAL';
    logging.problem('level', `must be ${names}, not ${JSON.stringify(value)}`);
  }
  return level ?? 'info';
}
