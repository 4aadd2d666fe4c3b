import { V6Error } from '../errors.ts';
import { type Cidr, parseCidr } from '../net/ipv4.ts';
import type { PortalSettings } from './portal-settings.ts';
import { parseVpnServerBlock, refuseMisplacedPortalKeys } from './vpn-server-block.ts';
import { mappingOf, parseYamlMapping } from './yaml.ts';

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
  /** Ours, `vpn_trusted_networks`: from there `GET /vpn` may come over plain http without a warning. */
  readonly vpnTrustedNetworks: readonly Cidr[];
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
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
 * (all problems at once), V6_CONFIG_SUBNET, and V6_CONFIG_VPN_KEYS_MISPLACED.
 */
export function parseServerConfig(text: string, file: string): ServerConfig {
  const keys = parseYamlMapping(text, file);
  refuseMisplacedPortalKeys(text, file);
  const problems: string[] = [];
  const read = new Reader(keys, problems);
  const vpn = parseVpnServerBlock(text, file, problems);
  const config: ServerConfig = {
    description: read.text('description') ?? '',
    ip: read.ip(),
    port: read.number('port', 7601, { from: 1, to: 65_535, isInteger: true }),
    apiPath: read.apiPath(),
    uri: read.uri(),
    jwtSecretKey: read.text('jwt_secret_key'),
    tokenExpiresHours: read.number('token_expires_hours', 6, { from: 0.001, to: 87_600 }),
    refreshTokenExpiresHours: read.number('refresh_token_expires_hours', 48, {
      from: 0.001,
      to: 87_600,
    }),
    serverUrl: read.serverUrl(),
    vpn,
    vpnTrustedNetworks: read.networks('vpn_trusted_networks'),
    logLevel: read.logLevel(),
  };
  if (problems.length > 0) throw invalidConfig(file, problems);
  return config;
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

class Reader {
  private readonly keys: Readonly<Record<string, unknown>>;
  private readonly problems: string[];

  constructor(keys: Readonly<Record<string, unknown>>, problems: string[]) {
    this.keys = keys;
    this.problems = problems;
  }

  /** Undefined when absent or empty. */
  text(key: string): string | undefined {
    const value = this.keys[key];
    if (value === undefined || value === null || value === '') return undefined;
    if (typeof value === 'string') return value;
    if (typeof value === 'number') return String(value);
    this.problems.push(`${key} must be text`);
    return undefined;
  }

  number(
    key: string,
    fallback: number,
    range: { readonly from: number; readonly to: number; readonly isInteger?: boolean },
  ): number {
    const value = this.keys[key];
    if (value === undefined || value === null) return fallback;
    // Upstream's own wizard writes the port as text.
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
    const isGood =
      typeof number === 'number' &&
      number >= range.from &&
      number <= range.to &&
      (range.isInteger !== true || Number.isInteger(number));
    if (isGood) return number;
    const kind = range.isInteger === true ? 'a whole number' : 'a number';
    this.problems.push(
      `${key} must be ${kind} from ${range.from} to ${range.to}, not ${JSON.stringify(value)}`,
    );
    return fallback;
  }

  ip(): string {
    const value = this.text('ip') ?? '0.0.0.0';
    if (!/^[\w.:-]+$/.test(value)) {
      this.problems.push(`ip must be an address to listen on, not ${JSON.stringify(value)}`);
    }
    return value;
  }

  apiPath(): string {
    const value = this.keys.api_path;
    if (value === undefined || value === null) return '/api';
    if (typeof value !== 'string' || !/^[\w./~-]*$/.test(value)) {
      this.problems.push(`api_path must be a path such as /api, not ${JSON.stringify(value)}`);
      return '/api';
    }
    const path = value.replace(/^\/+|\/+$/g, '');
    return path === '' ? '' : `/${path}`;
  }

  uri(): string {
    const value = this.text('uri');
    if (value === undefined) {
      this.problems.push('uri is missing: the database, for example sqlite:///default.sqlite');
      return '';
    }
    // SQLAlchemy's spelling: dialect, and optionally a driver behind a plus.
    const dialect = /^([a-z]+)(\+[a-z0-9_]+)?:\/\//.exec(value)?.[1];
    if (dialect !== 'sqlite' && dialect !== 'postgresql' && dialect !== 'postgres') {
      this.problems.push(
        `uri must start with sqlite:/// or postgresql://, not ${JSON.stringify(dialect ?? 'something else')}`,
      );
    }
    return value;
  }

  serverUrl(): string | undefined {
    const value = this.text('server_url');
    if (value === undefined) return undefined;
    if (!URL.canParse(value) || !/^https?:/.test(value)) {
      this.problems.push(
        `server_url must start with https:// or http://, not ${JSON.stringify(value)}`,
      );
    }
    return value.replace(/\/+$/, '');
  }

  networks(key: string): readonly Cidr[] {
    const value = this.keys[key];
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) {
      this.problems.push(`${key} must be a list of networks such as [10.0.0.0/8]`);
      return [];
    }
    return value.map((item, at) => parseCidr(String(item), `${key}[${at}]`));
  }

  logLevel(): ServerConfig['logLevel'] {
    const logging = mappingOf(this.keys.logging);
    const value = logging?.level;
    if (value === undefined || value === null) return 'info';
    const level = typeof value === 'string' ? LEVELS[value.toUpperCase()] : undefined;
    if (level === undefined) {
      this.problems.push(
        `logging.level must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not ${JSON.stringify(value)}`,
      );
    }
    return level ?? 'info';
  }
}
