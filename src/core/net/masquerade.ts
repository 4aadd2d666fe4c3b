import { BRIDGE_PREFIX } from '../labels.ts';
import { MARK, ownerOf } from './accept-rules.ts';
import type { HostChange, HostRules } from './host-rules.ts';
import type { HostState } from './host-state.ts';
import { type FilterRule, ruleKey } from './packet-filter.ts';
import type { Aim, PlanPart } from './plan-part.ts';

/** Our table for addresses; there only while the engine's own rule for an uplink is gone. */
export const NAT_TABLE = 'ip v6nat';
const CHAIN = 'leave';
/** After the engine's (srcnat, 100): where both stand, the engine's is the one that counts. */
const PRIORITY = 110;

/**
 * What leaves an uplink of ours must carry the host's address. That is the engine's rule; `nft flush ruleset`, which a restart of
 * many a firewall begins with, takes it away, and the tunnel with it. Until the engine has it again, one of ours stands in.
 */
export function planMasquerade(state: HostState, { owner, wanted }: Aim): PlanPart {
  const present = state.nft.tables.get(NAT_TABLE)?.chains.get(CHAIN)?.rules ?? [];
  const others = present.filter((rule) => ![undefined, owner].includes(ownerOf(rule)));
  const before = present.filter((rule) => ownerOf(rule) !== undefined && !others.includes(rule));
  const after = wanted !== undefined && isNeeded(state, wanted) ? masquerade(wanted) : [];
  const isSame = keys(before) === keys(after) && before.length + others.length === present.length;
  const isEmpty = others.length + after.length === 0;
  const isLeft = isEmpty && state.nft.tables.has(NAT_TABLE);
  return {
    changes: [
      ...after.map((rule) => change(before.length > 0 && isSame ? 'keep' : 'add', rule)),
      ...(after.length === 0 ? before.map((rule) => change('remove', rule)) : []),
    ],
    // A transaction of its own: a kernel without nat for nft has its guard all the same.
    writes:
      isSame && !isLeft
        ? []
        : [{ tool: 'nft', batch: render([...others, ...after]), isOptional: true }],
    faults: isSame && !isLeft ? [] : [`${NAT_TABLE}: ${fault(before, after)}`],
  };
}

const keys = (rules: readonly FilterRule[]): string => rules.map(ruleKey).join('\n');

function isNeeded({ hasMasquerade }: HostState, { uplink, remotes }: HostRules): boolean {
  // An uplink that the administrator made is masqueraded as the administrator likes.
  const isOurs = uplink?.bridge.startsWith(BRIDGE_PREFIX.uplink) === true;
  return hasMasquerade === false && isOurs && remotes.length > 0;
}

function masquerade({ owner, uplink }: HostRules): readonly FilterRule[] {
  if (uplink === undefined) return [];
  const { subnet, bridge } = uplink;
  return [
    {
      matches: [
        { field: 'saddr', isNot: false, values: [subnet] },
        { field: 'oif', isNot: true, values: [bridge] },
      ],
      verdict: { kind: 'accept' },
      comment: `${MARK} ${owner}`,
      text: '',
    },
  ];
}

function renderRule({ matches, comment }: FilterRule): string {
  const [subnet, bridge] = ['saddr', 'oif'].map((field) =>
    matches.find((match) => match.field === field)?.values.join(),
  );
  return `ip saddr ${subnet} oifname != "${bridge}" counter masquerade comment "${comment}"`;
}

function render(rules: readonly FilterRule[]): string {
  const lines = [
    `add table ${NAT_TABLE}`,
    `delete table ${NAT_TABLE}`,
    ...(rules.length === 0
      ? []
      : [
          `add table ${NAT_TABLE}`,
          `add chain ${NAT_TABLE} ${CHAIN} { type nat hook postrouting priority ${PRIORITY}; policy accept; }`,
          ...rules.map((rule) => `add rule ${NAT_TABLE} ${CHAIN} ${renderRule(rule)}`),
        ]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function change(action: HostChange['action'], rule: FilterRule): HostChange {
  return {
    action,
    what: 'masquerade',
    where: `table ${NAT_TABLE}`,
    why:
      action === 'remove'
        ? 'the engine has its own rule for this, or the node needs none'
        : 'the engine’s own rule for this is gone, and no answer would find back to the VPN client',
    text: renderRule(rule),
  };
}

function fault(before: readonly FilterRule[], after: readonly FilterRule[]): string {
  if (after.length === 0) return 'its rule is needed no longer';
  return before.length === 0
    ? 'the engine’s masquerade for the uplink is gone'
    : 'the rule for the uplink is not as wanted';
}
