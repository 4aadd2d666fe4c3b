import {
  GUARD_TABLE,
  type GuardOwners,
  guardOwners,
  ownerElement,
  remoteElements,
  renderGuard,
  renderShare,
} from './guard.ts';
import { guardFaults, isOfLaterVersion } from './guard-faults.ts';
import type { HostChange } from './host-rules.ts';
import type { HostState } from './host-state.ts';
import type { Aim, PlanPart } from './plan-part.ts';

const GUARD_WHY =
  'containers on our bridges reach neither this host nor, from a slot, anything but their slot';

/** The owner's share of the guard, and the guard itself. */
export function planGuard({ nft }: HostState, { owner, wanted }: Aim): PlanPart {
  const present = guardOwners(nft);
  const owners = new Map(present);
  if (wanted === undefined) owners.delete(owner);
  else owners.set(owner, wanted.localRemotes);
  const faults = guardFaults(nft, owners);
  const batch =
    owners.size > 0 && isOfLaterVersion(nft)
      ? renderShare(owner, present, owners)
      : renderGuard(owners);
  return {
    changes: guardChanges({ owner, present, owners, isSound: isSound(nft, present) }),
    writes: faults.length === 0 ? [] : [{ tool: 'nft', batch }],
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
