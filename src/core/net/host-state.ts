import type { HostFacts } from './accept-rules.ts';
import type { FirewallBackend } from './host-rules.ts';
import type { NftListing } from './nft-json.ts';
import type { FilterTable } from './packet-filter.ts';

export type IptablesTool = 'iptables-nft' | 'iptables-legacy';

/** What was read of a host, without changing anything. */
export interface HostState {
  readonly backend: FirewallBackend;
  readonly evidence: readonly string[];
  readonly facts: HostFacts;
  /** Whether the engine rewrites the source of what leaves the node's uplink; null: not known. */
  readonly hasMasquerade: boolean | null;
  /** Tables of nft that have a say: ours and every other with a base chain at `forward` or `input`. */
  readonly nft: NftListing;
  /** The engine's filter table, and any other in which something of ours stands. */
  readonly filters: readonly FilterState[];
}

export interface FilterState {
  readonly tool: IptablesTool;
  readonly table: FilterTable;
}

/** What tells the back end, looked at without running any tool of iptables. */
export interface BackendClues {
  /** The engine's own word (`GET /info`, since 29), for example `nftables` or `iptables+firewalld`; undefined: it says nothing. */
  readonly engineSays: string | undefined;
  readonly engineVersion: string;
  /** Tables of iptables-legacy that the kernel has, out of /proc/net/ip_tables_names. */
  readonly legacyTables: readonly string[];
  /** Whether nft has `DOCKER-USER` in `table ip filter`. */
  readonly hasNftUserChain: boolean;
  /** Whether iptables-legacy has it; undefined: not looked, because its tables are not there. */
  readonly hasLegacyUserChain?: boolean | undefined;
  /** In which of the two rules for the node's uplink stand, where there is one. */
  readonly uplinkIn?: readonly IptablesTool[];
}

/** Which back end the engine uses, with the reasons as sentences. */
export function chooseBackend(clues: BackendClues): {
  readonly backend: FirewallBackend;
  readonly evidence: readonly string[];
} {
  const { engineSays, engineVersion, legacyTables, hasNftUserChain, hasLegacyUserChain } = clues;
  const says =
    engineSays === undefined
      ? `the engine (${engineVersion}) does not say which firewall it uses`
      : `the engine (${engineVersion}) says that its firewall is ${engineSays}`;
  if (engineSays?.startsWith('nftables')) return { backend: 'nftables', evidence: [says] };
  const nft = `nft ${hasNftUserChain ? 'has' : 'has no'} chain ${USER} in table ip filter`;
  const legacy = legacyTables.includes('filter')
    ? `iptables-legacy has a filter table (/proc/net/ip_tables_names)${hasLegacyUserChain === true ? ` with ${USER}` : ''}`
    : 'the kernel has no filter table of iptables-legacy (/proc/net/ip_tables_names)';
  const evidence = [says, nft, legacy];
  if (hasNftUserChain && hasLegacyUserChain === true) return chooseOfBoth(clues, evidence);
  if (hasNftUserChain) return { backend: 'iptables-nft', evidence };
  if (hasLegacyUserChain === true) return { backend: 'iptables-legacy', evidence };
  return { backend: 'none', evidence: [...evidence, 'so the engine makes no rules'] };
}

/** One of them is left from before the engine changed: the engine's newest rules are in the other. */
function chooseOfBoth(
  { uplinkIn = [] }: BackendClues,
  evidence: readonly string[],
): ReturnType<typeof chooseBackend> {
  const isLegacy = uplinkIn.includes('iptables-legacy') && !uplinkIn.includes('iptables-nft');
  const backend = isLegacy ? 'iptables-legacy' : 'iptables-nft';
  const other = isLegacy ? 'iptables-nft' : 'iptables-legacy';
  const why = uplinkIn.length === 1 ? 'knows the uplink of the node' : 'is taken';
  return {
    backend,
    evidence: [...evidence, `both have it: ${backend} ${why}, and ${other} may drop as well`],
  };
}

const USER = 'DOCKER-USER';
