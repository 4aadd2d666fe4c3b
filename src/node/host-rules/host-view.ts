import { ACCEPT_CHAIN, isOurJump, ownerOf, USER_CHAIN } from '../../core/net/accept-rules.ts';
import { GUARD_TABLE, guardOwners } from '../../core/net/guard.ts';
import { conflictsFor } from '../../core/net/host-conflicts.ts';
import type { HostFirewallView, HostRules } from '../../core/net/host-rules.ts';
import type { FilterState, HostState } from '../../core/net/host-state.ts';
import { NAT_TABLE } from '../../core/net/masquerade.ts';
import type { RunOnHost } from './host-shell.ts';

/** For a host without a node that is known: what every node has. */
const ANYBODY: HostRules = { owner: 'any/node', remotes: [], localRemotes: [] };

/** What stands on the host, for people and for `--json`. */
export async function viewHost(
  run: RunOnHost,
  state: HostState,
  wanted: HostRules | undefined,
): Promise<HostFirewallView> {
  const { backend, evidence, facts, filters, nft } = state;
  const forward = filters.find(({ tool }) => tool === backend)?.table.chains.get('FORWARD')
    ?.base?.policy;
  const guard = nft.tables.has(GUARD_TABLE)
    ? await run(`nft list table ${GUARD_TABLE} 2>/dev/null || true`)
    : '';
  const nat = nft.tables.has(NAT_TABLE)
    ? await run(`nft list table ${NAT_TABLE} 2>/dev/null || true`)
    : '';
  const rules = [guard, nat, ...filters.flatMap(acceptLines)].filter((text) => text.trim() !== '');
  return {
    backend,
    evidence,
    bridgeNfCallIptables: facts.bridgeNf,
    forwardPolicy: forward ?? null,
    owners: ownersOf(state),
    rules: rules.length === 0 ? null : `${rules.map((text) => text.trimEnd()).join('\n')}\n`,
    conflicts: conflictsFor(state, wanted ?? ANYBODY),
  };
}

function ownersOf({ nft, filters }: HostState): readonly string[] {
  const inChains = filters.flatMap(({ table }) =>
    (table.chains.get(ACCEPT_CHAIN)?.rules ?? []).map((rule) => ownerOf(rule) ?? ''),
  );
  const inNat = [...(nft.tables.get(NAT_TABLE)?.chains.values() ?? [])].flatMap(({ rules }) =>
    rules.map((rule) => ownerOf(rule) ?? ''),
  );
  const all = new Set([...guardOwners(nft).keys(), ...inChains, ...inNat]);
  return [...all].filter((owner) => owner !== '').toSorted();
}

/** As iptables-save prints them, under the name of the tool that shows them. */
function acceptLines({ tool, table }: FilterState): readonly string[] {
  const jumps = (table.chains.get(USER_CHAIN)?.rules ?? []).filter(isOurJump);
  const chain = table.chains.get(ACCEPT_CHAIN);
  if (chain === undefined && jumps.length === 0) return [];
  const lines = [...jumps, ...(chain?.rules ?? [])].map(({ text }) => text);
  return [[`# ${tool}-save -t filter`, `-N ${ACCEPT_CHAIN}`, ...lines].join('\n')];
}
