import {
  ACCEPT_CHAIN,
  isOurJump,
  MARK,
  ownerOf,
  USER_CHAIN,
  type WantedFlow,
} from './accept-rules.ts';
import {
  GUARD_TABLE,
  type GuardOwners,
  guardFaults,
  guardOwners,
  ownerElement,
  remoteElements,
  renderGuard,
} from './guard.ts';
import { conflictsFor, decideFor } from './host-conflicts.ts';
import type { HostChange, HostPlan, HostRules } from './host-rules.ts';
import type { FilterState, HostState, IptablesTool } from './host-state.ts';
import { planMasquerade } from './masquerade.ts';
import { type FilterRule, ruleKey } from './packet-filter.ts';

/** One transaction: what the tool reads on its standard input. */
export interface HostWrite {
  readonly tool: 'nft' | IptablesTool;
  readonly batch: string;
  /** A host that cannot do this keeps its node all the same. */
  readonly isOptional?: boolean;
}

export interface DecidedPlan {
  readonly plan: HostPlan;
  /** None when everything stands as wanted. */
  readonly writes: readonly HostWrite[];
  /** What was found instead, one sentence for each part that is not as wanted. */
  readonly faults: readonly string[];
}

/** Whom it is about, and what that node wants; undefined: nothing any more. */
interface Aim {
  readonly owner: string;
  readonly wanted: HostRules | undefined;
}

/** Desired minus present for one owner; the parts of others stay as they are. */
export function planHost(state: HostState, aim: Aim): DecidedPlan {
  const { owner, wanted } = aim;
  const parts = [
    guardPart(state, aim),
    ...state.filters.map((filter) => acceptPart(state, filter, aim)),
    masqueradePart(state, aim),
  ];
  return {
    plan: {
      owner,
      backend: state.backend,
      changes: parts.flatMap(({ changes }) => changes),
      conflicts: wanted === undefined ? [] : conflictsFor(state, wanted),
    },
    writes: parts.flatMap(({ writes }) => writes),
    faults: parts.flatMap(({ faults }) => faults),
  };
}

interface Part {
  readonly changes: readonly HostChange[];
  readonly writes: readonly HostWrite[];
  readonly faults: readonly string[];
}

/** A transaction of its own: a kernel without nat for nft has its guard all the same. */
function masqueradePart(state: HostState, aim: Aim): Part {
  const { changes, batch, faults } = planMasquerade(state, aim);
  return {
    changes,
    faults,
    writes: batch === undefined ? [] : [{ tool: 'nft', batch, isOptional: true }],
  };
}

const GUARD_WHY =
  'containers on our bridges reach neither this host nor, from a slot, anything but their slot';

function guardPart({ nft }: HostState, { owner, wanted }: Aim): Part {
  const present = guardOwners(nft);
  const owners = new Map(present);
  if (wanted === undefined) owners.delete(owner);
  else owners.set(owner, wanted.localRemotes);
  const faults = guardFaults(nft, owners);
  return {
    changes: guardChanges({ owner, present, owners, isSound: isSound(nft, present) }),
    writes: faults.length === 0 ? [] : [{ tool: 'nft', batch: renderGuard(owners) }],
    faults: faults.map((fault) => `${GUARD_TABLE}: ${fault}`),
  };
}

function guardChanges(guard: {
  readonly owner: string;
  readonly present: GuardOwners;
  readonly owners: GuardOwners;
  /** The table stands as it must for those who have it; undefined: there is none. */
  readonly isSound: boolean | undefined;
}): readonly HostChange[] {
  const { owner, present, owners, isSound } = guard;
  const where = `table ${GUARD_TABLE}`;
  const before = present.get(owner);
  const after = owners.get(owner);
  if (before === undefined && after === undefined && isSound === undefined) return [];
  const table: readonly HostChange[] =
    owners.size === 0
      ? [
          {
            action: 'remove',
            what: 'guard',
            where,
            why: 'no other node of this host needs it',
            text: where,
          },
        ]
      : after === undefined
        ? []
        : [
            {
              action: isSound === true ? 'keep' : 'add',
              what: 'guard',
              where,
              why: GUARD_WHY,
              text: where,
            },
          ];
  return [
    ...table,
    ...difference(
      before === undefined ? [] : [ownerElement(owner)],
      after === undefined ? [] : [ownerElement(owner)],
    ).map(
      ({ action, text }): HostChange => ({
        action,
        what: 'guard-owner',
        where: `${where}, set owners`,
        why:
          action === 'remove' ? `${owner} needs the guard no longer` : `${owner} needs the guard`,
        text,
      }),
    ),
    ...difference(remoteElements(before ?? []), remoteElements(after ?? [])).map(
      ({ action, text }): HostChange => ({
        action,
        what: 'guard-remote',
        where,
        why:
          action === 'remove'
            ? 'no remote of the client config leads there any more'
            : 'this host serves a VPN server that the node connects to',
        text,
      }),
    ),
  ];
}

function isSound(nft: HostState['nft'], present: GuardOwners): boolean | undefined {
  if (!nft.tables.has(GUARD_TABLE)) return undefined;
  return present.size > 0 && guardFaults(nft, present).length === 0;
}

function difference(
  before: readonly string[],
  after: readonly string[],
): readonly Pick<HostChange, 'action' | 'text'>[] {
  return [
    ...after.map((text) => ({ action: before.includes(text) ? 'keep' : 'add', text }) as const),
    ...before
      .filter((text) => !after.includes(text))
      .map((text) => ({ action: 'remove', text }) as const),
  ];
}

function acceptPart(state: HostState, filter: FilterState, { owner, wanted }: Aim): Part {
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
