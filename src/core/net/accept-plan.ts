import {
  ACCEPT_CHAIN,
  isOurJump,
  MARK,
  ownerOf,
  USER_CHAIN,
  type WantedFlow,
} from './accept-rules.ts';
import { decideFor } from './host-conflicts.ts';
import type { HostChange } from './host-rules.ts';
import type { FilterState, HostState } from './host-state.ts';
import { type FilterRule, ruleKey } from './packet-filter.ts';
import type { Aim, PlanPart } from './plan-part.ts';

/** The owner's rules in one filter table of iptables, with the chain and the jump that all owners share. */
export function planAccepts(
  state: HostState,
  filter: FilterState,
  { owner, wanted }: Aim,
): PlanPart {
  const { tool, table } = filter;
  const isUsed = wanted !== undefined && tool === state.backend;
  const ours = isUsed ? decideFor(state, wanted).rules : [];
  const present = table.chains.get(ACCEPT_CHAIN)?.rules ?? [];
  const others = present.filter((rule) => ![undefined, owner].includes(ownerOf(rule)));
  const before = present.filter((rule) => ownerOf(rule) === owner);
  const strangers = present.filter((rule) => ownerOf(rule) === undefined);
  const faults = acceptFaults(filter, { ours, before, others, strangers });
  const rules = [...others, ...ours.map(({ rule }) => rule)];
  return {
    changes: acceptChanges(filter, { ours, before, others, strangers }),
    writes: faults.length === 0 ? [] : [{ tool, batch: renderAccepts(filter, rules) }],
    faults: faults.map((fault) => `${tool} filter: ${fault}`),
  };
}

interface Accepts {
  readonly ours: readonly WantedFlow[];
  readonly before: readonly FilterRule[];
  readonly others: readonly FilterRule[];
  readonly strangers: readonly FilterRule[];
}

function acceptFaults({ table }: FilterState, accepts: Accepts): readonly string[] {
  const { ours, before, others, strangers } = accepts;
  const user = table.chains.get(USER_CHAIN)?.rules ?? [];
  const jumps = user.filter(isOurJump).length;
  const isEmpty = ours.length + others.length === 0;
  const keys = (rules: readonly FilterRule[]): string => rules.map(ruleKey).toSorted().join('\n');
  const isChainThere = table.chains.has(ACCEPT_CHAIN);
  const faults: string[] = [];
  if (keys(before) !== keys(ours.map(({ rule }) => rule)))
    faults.push(`${before.length} rules of the node where ${ours.length} are wanted`);
  if (strangers.length > 0)
    faults.push(`${strangers.length} rules in ${ACCEPT_CHAIN} are not ours`);
  if (isEmpty && (isChainThere || jumps > 0))
    faults.push(`${ACCEPT_CHAIN} stands there for nobody`);
  if (!isEmpty && (jumps !== 1 || !isOurJump(user[0] as FilterRule)))
    faults.push(`${USER_CHAIN} does not begin with the one jump to ${ACCEPT_CHAIN}`);
  return faults;
}

function acceptChanges(
  { tool, table }: FilterState,
  { ours, before, others, strangers }: Accepts,
): readonly HostChange[] {
  const user = table.chains.get(USER_CHAIN)?.rules ?? [];
  const jumps = user.filter(isOurJump).length;
  const isWanted = ours.length + others.length > 0;
  const frame = (isThere: boolean): HostChange['action'] | undefined =>
    isWanted ? (isThere ? 'keep' : 'add') : isThere ? 'remove' : undefined;
  const chainAction = frame(table.chains.has(ACCEPT_CHAIN));
  const isAlone = jumps === 1 && isOurJump(user[0] as FilterRule);
  const jumpAction = isWanted && !isAlone ? 'add' : frame(jumps > 0);
  const place = `${tool} filter`;
  const texts = new Map(ours.map(({ rule, why }) => [ruleKey(rule), { text: rule.text, why }]));
  const gone = before.filter((rule) => !texts.has(ruleKey(rule)));
  const there = new Set(before.map(ruleKey));
  return [
    ...(chainAction === undefined
      ? []
      : [
          {
            action: chainAction,
            what: 'accept-chain',
            where: place,
            why: 'holds the rules of all nodes of this host',
            text: ACCEPT_CHAIN,
          } as const,
        ]),
    ...(jumpAction === undefined
      ? []
      : [
          {
            action: jumpAction,
            what: 'accept-jump',
            where: `${place} ${USER_CHAIN}`,
            why: 'an accept elsewhere cannot overrule a drop there',
            text: JUMP,
          } as const,
        ]),
    ...[...texts].map(
      ([key, { text, why }]): HostChange => ({
        action: there.has(key) ? 'keep' : 'add',
        what: 'accept-rule',
        where: `${place} ${ACCEPT_CHAIN}`,
        why,
        text,
      }),
    ),
    ...[...gone, ...strangers].map(
      (rule): HostChange => ({
        action: 'remove',
        what: 'accept-rule',
        where: `${place} ${ACCEPT_CHAIN}`,
        why:
          ownerOf(rule) === undefined ? 'it is none of ours' : 'the node does not need it any more',
        text: rule.text.replace(/^-A \S+ /, ''),
      }),
    ),
  ];
}

const JUMP = `-m comment --comment ${MARK} -j ${ACCEPT_CHAIN}`;

/** For `iptables-restore --noflush`: our chain filled anew, and reached by one jump, or both gone. */
function renderAccepts({ table }: FilterState, rules: readonly FilterRule[]): string {
  const jumps = (table.chains.get(USER_CHAIN)?.rules ?? []).filter(isOurJump);
  const withoutJumps = jumps.map(({ text }) => text.replace(/^-A /, '-D '));
  const isChainThere = table.chains.has(ACCEPT_CHAIN);
  const body =
    rules.length === 0
      ? [...withoutJumps, ...(isChainThere ? [`-F ${ACCEPT_CHAIN}`, `-X ${ACCEPT_CHAIN}`] : [])]
      : [
          ...rules.map(({ text }) => `-A ${ACCEPT_CHAIN} ${text.replace(/^-A \S+ /, '')}`),
          ...withoutJumps,
          `-I ${USER_CHAIN} 1 ${JUMP}`,
        ];
  // Naming a chain in this way makes it, or empties it.
  const head = rules.length === 0 ? [] : [`:${ACCEPT_CHAIN} - [0:0]`];
  return `${['*filter', ...head, ...body, 'COMMIT'].join('\n')}\n`;
}
