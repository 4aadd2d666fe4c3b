import { V6Error } from '../errors.ts';
import {
  PORTAL_KEYS,
  type PortalKey,
  type PortalSettings,
  type PortalValues,
  parsePortalValues,
} from './portal-settings.ts';
import { mappingOf, parseYamlAsWritten, parseYamlMapping } from './yaml.ts';
import { listYamlEntries, type YamlEntry } from './yaml-entries.ts';

/** Name of the block in the server's configuration. */
export const VPN_SERVER = 'vpn_server';

// Other blocks of upstream's file have a `url` and a client of their own; these three names are the portal's alone.
const UNMISTAKABLE: readonly string[] = ['redirect_url', 'portal_username', 'portal_userpass'];

/**
 * The settings of the `vpn_server` block; undefined when the file has none. What is wrong with it goes to `problems`, each a
 * sentence that starts with its key. Values are taken as written: a password of digits needs no quotes.
 * The text must be one that parseYamlMapping accepts.
 */
export function parseVpnServerBlock(
  text: string,
  file: string,
  problems: string[],
): PortalSettings | undefined {
  const keys = parseYamlMapping(text, file);
  if (!Object.hasOwn(keys, VPN_SERVER)) return undefined;
  const typed = keys[VPN_SERVER];
  const block = typed === null || typed === '' ? {} : mappingOf(typed);
  if (block === undefined) {
    problems.push(`${VPN_SERVER} must hold keys, one per line and indented`);
    return undefined;
  }
  for (const key of PORTAL_KEYS)
    if (typeof block[key] === 'object' && block[key] !== null)
      problems.push(`${VPN_SERVER}.${key} must be text`);
  const limit = readLimit(block.max_configurations, problems);
  const parsed = parsePortalValues(readVpnServerValues(text, file));
  if ('settings' in parsed)
    return { ...parsed.settings, ...(limit === undefined ? {} : { maxConfigurations: limit }) };
  problems.push(...parsed.problems.map((problem) => `${VPN_SERVER}.${problem}`));
  return undefined;
}

function readLimit(value: unknown, problems: string[]): number | undefined {
  if (value === undefined || value === null) return undefined;
  const limit = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof limit === 'number' && Number.isInteger(limit) && limit >= 0 && limit <= 1_000_000)
    return limit;
  problems.push(
    `${VPN_SERVER}.max_configurations must be a whole number, 0 for no limit, not ${JSON.stringify(value)}`,
  );
  return undefined;
}

/** What the block says, good or not, by key and as written; nothing when there is no block. The text must be one that parseYamlMapping accepts. */
export function readVpnServerValues(text: string, file: string): PortalValues {
  const typed = mappingOf(parseYamlMapping(text, file)[VPN_SERVER]) ?? {};
  const written = mappingOf(mappingOf(parseYamlAsWritten(text, file))?.[VPN_SERVER]) ?? {};
  const values: Partial<Record<PortalKey, string>> = {};
  for (const key of PORTAL_KEYS) {
    const value = written[key];
    if (typeof value === 'string' && typed[key] !== null) values[key] = value;
  }
  return values;
}

/** Throws V6_CONFIG_VPN_KEYS_MISPLACED when keys of the portal stand outside `vpn_server`: older documentation printed them so. */
export function refuseMisplacedPortalKeys(text: string, file: string): void {
  const found = listYamlEntries(text).filter(isMisplaced);
  if (found.length === 0) return;
  const places = found.map(({ path, line }) => `${path.join('.')} (line ${line})`);
  throw new V6Error(
    'V6_CONFIG_VPN_KEYS_MISPLACED',
    `${file}: portal keys stand outside ${VPN_SERVER}: ${places.join(', ')}`,
    {
      hints: [
        `Move ${found.map(({ path }) => path.at(-1)).join(', ')} below "${VPN_SERVER}:" and indent them by two spaces.`,
        'Or remove them there and run: v6 server vpn configure',
      ],
      details: { file, keys: found.map(({ path, line }) => ({ key: path.join('.'), line })) },
    },
  );
}

function isMisplaced({ path }: YamlEntry): boolean {
  const key = path.at(-1) ?? '';
  if (path[0] === VPN_SERVER) return path.length > 2 && UNMISTAKABLE.includes(key);
  if (path.length === 1)
    return key !== 'profile' && (PORTAL_KEYS as readonly string[]).includes(key);
  return UNMISTAKABLE.includes(key);
}
