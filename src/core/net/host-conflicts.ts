import { BRIDGE_PREFIX } from '../labels.ts';
import {
  type AcceptDecision,
  decideAccepts,
  isEnginesOwn,
  localFlows,
  wantedFlows,
} from './accept-rules.ts';
import { type Flow, type Judgement, judge } from './filter-verdict.ts';
import { GUARD_TABLE } from './guard.ts';
import type { HostConflict, HostRules } from './host-rules.ts';
import type { HostState, IptablesTool } from './host-state.ts';
import type { FilterChain, FilterTable } from './packet-filter.ts';

/** The accept rules that a node needs on this host; none where everything passes, or where no rule of ours could help. */
export function decideFor(state: HostState, wanted: HostRules): AcceptDecision {
  const flows = wantedFlows(wanted, state.facts);
  const filter = state.filters.find(({ tool }) => tool === state.backend);
  return filter === undefined ? { rules: [], refused: [] } : decideAccepts(filter.table, flows);
}

/** Everything of others that drops the node's traffic, and that no rule of ours can overrule. */
export function conflictsFor(state: HostState, wanted: HostRules): readonly HostConflict[] {
  const flows = wantedFlows(wanted, state.facts);
  const found = [
    ...decideFor(state, wanted).refused.map(({ wanted: { flow, rule }, by }) =>
      conflict(flow, by, iptablesHints(state.backend as IptablesTool, rule.text, by)),
    ),
    ...foreignChains(state, 'forward').flatMap(({ table, chain, family }) =>
      family === 'bridge'
        ? judged(table, chain, [slotFrame()])
        : judged(
            table,
            chain,
            flows.map(({ flow }) => flow),
          ),
    ),
    ...[...foreignChains(state, 'input'), ...engineInput(state)].flatMap(({ table, chain }) =>
      judged(table, chain, localFlows(wanted)),
    ),
  ];
  return oneEach(found);
}

/** A frame inside a slot as a table of family `bridge` sees it: interfaces are those of containers there. */
function slotFrame(): Flow {
  return {
    name: 'between an algorithm and the VPN client',
    hook: 'forward',
    state: 'new',
    isBridged: true,
  };
}

interface Place {
  readonly table: FilterTable;
  readonly chain: FilterChain;
  readonly family: string;
}

/** Base chains of nft that are neither ours nor the engine's. */
function foreignChains({ nft, filters }: HostState, hook: string): readonly Place[] {
  return [...nft.tables].flatMap(([name, table]): readonly Place[] => {
    const [family = ''] = name.split(' ');
    const isEngines =
      name === 'ip docker-bridges' ||
      // Followed as the engine's filter table, where it could be read as one.
      (name === 'ip filter' && filters.some(({ tool }) => tool === 'iptables-nft'));
    if (name === GUARD_TABLE || isEngines || !['ip', 'inet', 'bridge'].includes(family)) return [];
    return [...table.chains.values()]
      .filter(({ base }) => base?.hook === hook)
      .map((chain) => ({ table, chain, family }));
  });
}

function engineInput({ filters, backend }: HostState): readonly Place[] {
  return filters
    .filter(({ tool }) => tool === backend)
    .flatMap(({ table }): readonly Place[] => {
      const chain = table.chains.get('INPUT');
      return chain === undefined ? [] : [{ table, chain, family: 'ip' }];
    });
}

function judged(
  table: FilterTable,
  chain: FilterChain,
  flows: readonly Flow[],
): readonly HostConflict[] {
  return flows.flatMap((flow): readonly HostConflict[] => {
    const by = judge(table, chain.name, flow, { trusted: isEnginesOwn });
    if (by.fate === 'passes') return [];
    const isNft = table.where.startsWith('table ');
    const place = isNft ? table.where.slice('table '.length) : table.where;
    const hints = isNft
      ? [
          `Look: nft -a list chain ${place} ${chain.name}`,
          `Let it through: nft insert rule ${place} ${chain.name} ${nftWords(flow)} accept`,
        ]
      : [`Let it through in ${chain.name} (${place}): ${flow.name}`];
    return [conflict(flow, by, [...hints, 'Keep that rule where the host keeps its other rules.'])];
  });
}

function nftWords({ iif, oif, daddr, protocol, dport, state }: Flow): string {
  const name = (device: string): string =>
    device.startsWith(BRIDGE_PREFIX.slot) ? `"${BRIDGE_PREFIX.slot}*"` : `"${device}"`;
  return [
    ...(iif === undefined ? [] : [`iifname ${name(iif)}`]),
    ...(oif === undefined ? [] : [`oifname ${name(oif)}`]),
    ...(state === 'established' ? ['ct state established'] : []),
    ...(daddr === undefined ? [] : [`ip daddr ${daddr}`]),
    ...(protocol === undefined || dport === undefined ? [] : [`${protocol} dport ${dport}`]),
  ].join(' ');
}

function iptablesHints(tool: IptablesTool, rule: string, by: Judgement): readonly string[] {
  return [
    `${tool} filter FORWARD does not reach DOCKER-USER before it drops this (${by.rule}).`,
    'Restart the engine: it makes its rules anew.',
    `Or let it through: ${tool} -I FORWARD ${rule}`,
  ];
}

function conflict(flow: Flow, by: Judgement, hints: readonly string[]): HostConflict {
  const { where, rule, fate } = by;
  return { where, flow: flow.name, rule, isCertain: fate === 'drops', hints };
}

function oneEach(list: readonly HostConflict[]): readonly HostConflict[] {
  return [...new Map(list.map((item) => [`${item.where}|${item.flow}`, item])).values()];
}
