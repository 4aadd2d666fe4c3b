import { V6Error } from '../errors.ts';
import { type Cidr, overlaps, parseCidr, rangeOf } from '../net/ipv4.ts';
import { KeyReader } from './key-reader.ts';
import type { DatabaseConfig, NodeConfig } from './node-config.ts';
import { readEncryption } from './node-encryption.ts';
import { readPolicies } from './node-policies.ts';
import { invalidConfig } from './server-config.ts';
import { mappingOf, parseYamlMapping } from './yaml.ts';

const LEVELS: Readonly<Record<string, NodeConfig['logLevel']>> = {
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  WARNING: 'warn',
  ERROR: 'error',
  CRITICAL: 'error',
};
/** Prefix length of a slot's network (src/core/vpn/slot.ts). */
const SLOT_PREFIX = 29;
const DEFAULT_SPARE_SLOTS = 4;
const DEFAULT_MAX_RUNS = 16;
const DEFAULT_PIDS = 1024;

/**
 * Reads a node's configuration file: upstream's keys as they are, ours beside them. Keys that we do not know are left to
 * others. Throws V6_CONFIG_SYNTAX, V6_CONFIG_SUBNET (a network that is none), V6_NET_OVERLAP (isolated_range over vpn_subnet)
 * and V6_CONFIG_INVALID with all other problems at once. Neither the API key nor a database's uri stands in a message.
 */
export function parseNodeConfig(text: string, file: string): NodeConfig {
  const read = new KeyReader(parseYamlMapping(text, file));
  const vpnSubnet = subnet(read, 'vpn_subnet', file, { longest: 30 });
  const isolatedRange = subnet(read, 'isolated_range', file, { longest: SLOT_PREFIX });
  const port = read.integer('port', { from: 1, to: 65_535 }) ?? null;
  const encryption = read.below('encryption');
  const config: NodeConfig = {
    apiKey: apiKey(read),
    serverUrl: serverUrl(read, port),
    port,
    apiPath: apiPath(read),
    ...serverCa(read),
    databases: databases(read),
    encrypted: encryption.flag('enabled') ?? false,
    encryption: readEncryption(encryption),
    vpnSubnet,
    isolatedRange,
    uplinkNetwork: uplinkNetwork(read),
    spareSlots: read.integer('spare_slots', { from: 1, to: 64 }) ?? DEFAULT_SPARE_SLOTS,
    maxRuns: read.integer('max_runs', { from: 1, to: 512 }) ?? DEFAULT_MAX_RUNS,
    policies: readPolicies(read.below('policies')),
    algorithmEnv: read.textMap('algorithm_env'),
    limits: limits(read),
    shareAlgorithmLogs: read.flag('share_algorithm_logs') ?? true,
    shareConfig: read.flag('share_config') ?? true,
    logLevel: logLevel(read),
  };
  refuseSmallRange(read, config);
  if (read.problems.length > 0) throw invalidConfig(file, read.problems);
  if (vpnSubnet && isolatedRange) refuseOverlap(file, vpnSubnet, isolatedRange);
  return config;
}

function apiKey(read: KeyReader): string {
  const value = read.raw('api_key');
  if (typeof value === 'string' && /^[\x21-\x7e]{1,255}$/.test(value)) return value;
  read.problem(
    'api_key',
    value === undefined
      ? 'is missing: the key that the server gave for this node'
      : 'must be one word of text, in quotes when it is all digits',
  );
  return '';
}

function serverCa(read: KeyReader): Pick<NodeConfig, 'serverCa'> {
  const value = read.text('server_ca');
  if (value?.startsWith('/') === false)
    read.problem('server_ca', `must be an absolute path, not ${JSON.stringify(value)}`);
  return value === undefined ? {} : { serverCa: value };
}

function serverUrl(read: KeyReader, port: number | null): string {
  const value = read.text('server_url');
  if (value === undefined) {
    read.problem(
      'server_url',
      'is missing: the address of the server, such as https://example.org',
    );
    return '';
  }
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '') {
    // What stands before an @ may be a password.
    const shown = JSON.stringify(value.replace(/\/\/[^/]*@/, '//…@'));
    read.problem('server_url', `must start with https:// or http:// and a host, not ${shown}`);
  } else if (url.port !== '' && port !== null && Number(url.port) !== port) {
    read.problem('server_url', `has port ${url.port}, but the key port says ${port}: keep one`);
  }
  if (url !== undefined && url.port !== '' && Number(url.port) === port) {
    return value.replace(`:${url.port}`, '').replace(/\/+$/, '');
  }
  return value.replace(/\/+$/, '');
}

function apiPath(read: KeyReader): string {
  const value = read.text('api_path');
  if (value === undefined) return '';
  if (/^[\w./~-]*$/.test(value)) {
    const path = value.replace(/^\/+|\/+$/g, '');
    return path === '' ? '' : `/${path}`;
  }
  read.problem('api_path', `must be a path such as /api, not ${JSON.stringify(value)}`);
  return '';
}

function databases(read: KeyReader): readonly DatabaseConfig[] {
  const value = read.raw('databases');
  if (value === undefined) return [];
  // A mapping of label to uri is what 3.x wrote.
  const older = mappingOf(value);
  const items: readonly unknown[] = older
    ? Object.entries(older).map(([label, uri]) => ({ label, uri, type: 'other' }))
    : Array.isArray(value)
      ? value
      : [null];
  return items.flatMap((item, at) => {
    const { label, uri, type } = mappingOf(item) ?? {};
    const isGood =
      typeof label === 'string' &&
      /^[A-Za-z_]\w*$/.test(label) &&
      typeof uri === 'string' &&
      uri !== '' &&
      (type === undefined || type === null || typeof type === 'string');
    if (isGood) return [{ label, uri, type: type ?? 'other' }];
    read.problem(
      `databases[${at}]`,
      `needs a label that is an identifier, and a uri; label is ${JSON.stringify(label ?? null)}`,
    );
    return [];
  });
}

function uplinkNetwork(read: KeyReader): string | undefined {
  const value = read.text('uplink_network');
  if (value === undefined || /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(value)) return value;
  read.problem('uplink_network', `must be the name of a network, not ${JSON.stringify(value)}`);
  return undefined;
}

function limits(read: KeyReader): NodeConfig['limits'] {
  const below = read.below('algorithm_limits');
  return {
    memoryBytes: memory(below),
    pids: below.integer('pids', { from: 1, to: 4_194_304 }) ?? DEFAULT_PIDS,
    cpus: cpus(below),
  };
}

/** The engine knows hundredths of a processor. */
const LEAST_CPUS = 0.01;
const MOST_CPUS = 1024;

function cpus(read: KeyReader): number | undefined {
  const value = read.raw('cpus');
  if (value === undefined) return undefined;
  const number = typeof value === 'string' ? Number(value) : value;
  if (typeof number === 'number' && number >= LEAST_CPUS && number <= MOST_CPUS) return number;
  read.problem(
    'cpus',
    `must be a number of processors from ${LEAST_CPUS} to ${MOST_CPUS}, such as 1.5, not ${JSON.stringify(value)}`,
  );
  return undefined;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
/** The engine refuses less (Docker: 6 MB). */
const LEAST_MEMORY = 6 * 2 ** 20;

function memory(read: KeyReader): number | undefined {
  const value = read.raw('memory');
  if (value === undefined) return undefined;
  const match = /^(\d+(?:\.\d+)?)\s*([bkmg]?)(?:i?b)?$/i.exec(
    JSON.stringify(value).replaceAll('"', ''),
  );
  const bytes = match
    ? Math.floor(Number(match[1]) * (UNITS[match[2]?.toLowerCase() ?? ''] ?? 1))
    : 0;
  if (bytes >= LEAST_MEMORY && Number.isSafeInteger(bytes)) return bytes;
  read.problem('memory', `must be a size such as 512m or 4g, not ${JSON.stringify(value)}`);
  return undefined;
}

function logLevel(read: KeyReader): NodeConfig['logLevel'] {
  const logging = read.below('logging');
  const value = logging.text('level');
  if (value === undefined) return 'info';
  const level = LEVELS[value.toUpperCase()];
  if (level === undefined) {
    logging.problem(
      'level',
      `must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not ${JSON.stringify(value)}`,
    );
  }
  return level ?? 'info';
}

function subnet(
  read: KeyReader,
  key: string,
  file: string,
  { longest }: { readonly longest: number },
): Cidr | undefined {
  const value = read.raw(key);
  if (value === undefined) return undefined;
  const cidr = parseCidr(
    typeof value === 'string' ? value.trim() : JSON.stringify(value),
    `${key} in ${file}`,
  );
  const { prefix } = rangeOf(cidr);
  if (prefix >= 8 && prefix <= longest) return cidr;
  throw new V6Error(
    'V6_CONFIG_SUBNET',
    `${key} in ${file} must be a /8 to a /${longest}: ${cidr}`,
    {
      hints: [`Give ${key} a network such as 10.76.0.0/16.`],
      details: { file, key, value: cidr },
    },
  );
}

function refuseSmallRange(read: KeyReader, config: NodeConfig): void {
  if (config.isolatedRange === undefined) return;
  const slots = 2 ** (SLOT_PREFIX - rangeOf(config.isolatedRange).prefix);
  if (slots >= config.spareSlots) return;
  read.problem(
    'isolated_range',
    `${config.isolatedRange} has room for ${slots} slots, but spare_slots is ${config.spareSlots}`,
  );
}

function refuseOverlap(file: string, vpnSubnet: Cidr, isolatedRange: Cidr): void {
  if (!overlaps(vpnSubnet, isolatedRange)) return;
  throw new V6Error(
    'V6_NET_OVERLAP',
    `${file}: isolated_range ${isolatedRange} overlaps vpn_subnet ${vpnSubnet}`,
    {
      hints: [
        'Leave isolated_range out, then a free range is chosen; or give one outside vpn_subnet.',
      ],
      details: { file, isolatedRange, vpnSubnet },
    },
  );
}
