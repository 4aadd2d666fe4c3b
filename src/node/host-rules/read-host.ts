import type { EngineInfo } from '../../core/engine/engine.ts';
import { ACCEPT_CHAIN, USER_CHAIN } from '../../core/net/accept-rules.ts';
import { GUARD_TABLE } from '../../core/net/guard.ts';
import type { HostRules } from '../../core/net/host-rules.ts';
import {
  chooseBackend,
  type FilterState,
  type HostState,
  type IptablesTool,
} from '../../core/net/host-state.ts';
import { parseIptables } from '../../core/net/iptables-text.ts';
import { isIpv4 } from '../../core/net/ipv4.ts';
import { NAT_TABLE } from '../../core/net/masquerade.ts';
import { type NftListing, parseNft } from '../../core/net/nft-json.ts';
import type { RunOnHost } from './host-shell.ts';

export interface ReadInput {
  readonly engine: Pick<EngineInfo, 'version' | 'firewall'>;
  /** Whose traffic is asked about; absent: nobody's. */
  readonly wanted: HostRules | undefined;
  /** Whether the container can run iptables-legacy. */
  readonly isForLegacy: boolean;
}

/** Reading needs iptables-legacy, which another container than the present one can run. */
export class LegacyNeeded extends Error {}

/** Everything that plans are made of. No tool of iptables runs unless the kernel has its tables already. */
export async function readHost(run: RunOnHost, input: ReadInput): Promise<HostState> {
  const bridgeNf = (
    await run('cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || true')
  ).trim();
  const legacyTables = await readLegacyTables(run);
  const chains = parseNft(await run('nft -j list chains'));
  const ipFilter = chains.tables.get('ip filter')?.chains;
  const hasLegacy = legacyTables.includes('filter');
  if (hasLegacy && !input.isForLegacy) throw new LegacyNeeded();
  const legacy = hasLegacy ? await readFilter(run, 'iptables-legacy') : undefined;
  const isNftOurs = ipFilter?.has(USER_CHAIN) === true || ipFilter?.has(ACCEPT_CHAIN) === true;
  const nftFilter = isNftOurs ? await readFilter(run, 'iptables-nft') : undefined;
  const choice = chooseBackend({
    engineSays: input.engine.firewall,
    engineVersion: input.engine.version,
    legacyTables,
    hasNftUserChain: ipFilter?.has(USER_CHAIN) === true,
    hasLegacyUserChain: legacy?.table.chains.has(USER_CHAIN),
    uplinkIn: whoKnows(input.wanted?.uplink?.bridge, [nftFilter, legacy]),
  });
  const isUnread = isNftOurs && nftFilter === undefined;
  return {
    backend: choice.backend,
    evidence: [
      ...choice.evidence,
      ...(isUnread ? ['iptables-nft cannot read its own filter table: no rule is put there'] : []),
    ],
    facts: {
      bridgeNf: bridgeNf === '' ? null : bridgeNf === '1',
      outside: await readRoutes(run, input.wanted),
    },
    hasMasquerade: await readMasquerade(run, input.wanted, {
      'iptables-nft': chains.tables.get('ip nat')?.chains.has('POSTROUTING') === true,
      'iptables-legacy': input.isForLegacy && legacyTables.includes('nat'),
      isUnknown: choice.backend === 'nftables',
    }),
    nft: await readTables(run, chains),
    filters: [nftFilter, legacy].flatMap((filter) =>
      filter !== undefined &&
      (filter.tool === choice.backend || filter.table.chains.has(ACCEPT_CHAIN))
        ? [filter]
        : [],
    ),
  };
}

async function readLegacyTables(run: RunOnHost): Promise<readonly string[]> {
  const text = await run('cat /proc/net/ip_tables_names 2>/dev/null || true');
  return text.split('\n').filter((name) => name !== '');
}

/** Undefined for a table that the tool cannot read: somebody wrote into it with another one. */
async function readFilter(run: RunOnHost, tool: IptablesTool): Promise<FilterState | undefined> {
  const text = await run(`${tool}-save -t filter 2>/dev/null || true`);
  if (!/^\*filter$/m.test(text)) return undefined;
  return { tool, table: parseIptables(text, `${tool} filter`) };
}

/** In whose rules the bridge is mentioned: the engine writes some for each of its networks. */
function whoKnows(
  bridge: string | undefined,
  filters: readonly (FilterState | undefined)[],
): readonly IptablesTool[] {
  if (bridge === undefined) return [];
  return filters.flatMap((filter) =>
    filter !== undefined &&
    [...filter.table.chains.values()].some(
      ({ name, rules }) =>
        name !== ACCEPT_CHAIN && rules.some(({ text }) => text.includes(` ${bridge} `)),
    )
      ? [filter.tool]
      : [],
  );
}

/** Of the engine's rules for its networks, the one for the node's uplink; asked in those tables that are there. */
async function readMasquerade(
  run: RunOnHost,
  wanted: HostRules | undefined,
  there: Readonly<Record<IptablesTool | 'isUnknown', boolean>>,
): Promise<boolean | null> {
  const subnet = wanted?.uplink?.subnet;
  if (subnet === undefined || there.isUnknown) return null;
  for (const tool of ['iptables-nft', 'iptables-legacy'] as const) {
    if (!there[tool]) continue;
    const text = await run(`${tool}-save -t nat 2>/dev/null || true`);
    const isThere = text
      .split('\n')
      .some((line) => line.includes(` -s ${subnet} `) && line.includes(' -j MASQUERADE'));
    if (isThere) return true;
  }
  return false;
}

/** Names that may stand in a command: what nft itself takes unquoted. */
const PLAIN = /^[a-z0-9]+ [A-Za-z0-9_./\\-]+$/;
const HOOKS = new Set(['forward', 'input']);
const OURS = new Set<string>([GUARD_TABLE, NAT_TABLE]);

async function readTables(run: RunOnHost, chains: NftListing): Promise<NftListing> {
  const names = [...chains.tables]
    .filter(([name, table]) => {
      const isAsked = [...table.chains.values()].some(({ base }) => HOOKS.has(base?.hook ?? ''));
      return PLAIN.test(name) && (OURS.has(name) || isAsked);
    })
    .map(([name]) => name);
  const listings: NftListing[] = [];
  for (const name of names) {
    // Elements are asked for where they are ours: other sets may hold a million.
    const isTerse = !OURS.has(name);
    // A table can go while we read.
    const text = await run(`nft -j ${isTerse ? '-t ' : ''}list table ${name} 2>/dev/null || true`);
    if (text.trim() !== '') listings.push(parseNft(text));
  }
  return {
    tables: new Map(listings.flatMap(({ tables }) => [...tables])),
    sets: new Map(listings.flatMap(({ sets }) => [...sets])),
  };
}

/** Remote's address → the interface that leads there. */
async function readRoutes(
  run: RunOnHost,
  wanted: HostRules | undefined,
): Promise<ReadonlyMap<string, string>> {
  const addresses = [...new Set((wanted?.remotes ?? []).map(({ address }) => address))];
  const asked = addresses.filter((address) => isIpv4(address));
  if (asked.length === 0) return new Map();
  const text = await run(
    `for a in ${asked.join(' ')}; do ip -o route get "$a" 2>/dev/null; done || true`,
  );
  return new Map(
    text.split('\n').flatMap((line): readonly (readonly [string, string])[] => {
      const [, address, device] = /^([\d.]+) (?:.* )?dev (\S+)/.exec(line) ?? [];
      return address === undefined || device === undefined ? [] : [[address, device]];
    }),
  );
}
