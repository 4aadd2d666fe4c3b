import {
  GUARD_PRIORITY,
  GUARD_REVISION,
  GUARD_TABLE,
  type GuardOwners,
  guardChains,
  guardOwners,
  remoteElements,
} from './guard.ts';
import type { NftListing } from './nft-json.ts';
import { ruleKey } from './packet-filter.ts';

/** True when a later version of v6 has put its guard there, and it does what any guard must. */
export function isOfLaterVersion({ sets, tables }: NftListing): boolean {
  const revision = Number(sets.get(`${GUARD_TABLE} revision`)?.elements[0]?.value);
  const chains = tables.get(GUARD_TABLE)?.chains;
  return (
    revision > GUARD_REVISION &&
    guardChains(new Map()).every(({ name, hook }) => {
      const found = chains?.get(name);
      return (
        found?.base?.hook === hook && found.rules.some(({ verdict }) => verdict.kind === 'drop')
      );
    })
  );
}

/** What of the guard is not as it must be for these owners, one sentence each; none when all of it stands. */
export function guardFaults(listing: NftListing, owners: GuardOwners): readonly string[] {
  const table = listing.tables.get(GUARD_TABLE);
  if (table === undefined) return owners.size === 0 ? [] : [`there is no table ${GUARD_TABLE}`];
  if (owners.size === 0) return [`table ${GUARD_TABLE} has no owner`];
  return isOfLaterVersion(listing)
    ? setFaults(listing, owners)
    : [...revisionFaults(listing), ...chainFaults(listing, owners), ...setFaults(listing, owners)];
}

function revisionFaults({ sets }: NftListing): readonly string[] {
  const found = (sets.get(`${GUARD_TABLE} revision`)?.elements ?? []).map(({ value }) => value);
  return found.join() === String(GUARD_REVISION)
    ? []
    : [`its revision is ${found.join(' and ') || 'missing'} and not ${GUARD_REVISION}`];
}

function chainFaults({ tables }: NftListing, owners: GuardOwners): readonly string[] {
  const present = tables.get(GUARD_TABLE)?.chains;
  const wanted = guardChains(owners);
  const faults = wanted.flatMap(({ name, hook, rules }): readonly string[] => {
    const found = present?.get(name);
    if (found === undefined) return [`chain ${name} is missing`];
    const { base } = found;
    if (base?.hook !== hook || base.priority !== GUARD_PRIORITY || base.policy !== 'accept')
      return [`chain ${name} does not stand at its hook`];
    return ruleFaults(name, found.rules.map(ruleKey), rules.map(ruleKey));
  });
  const strangers = [...(present?.keys() ?? [])].filter(
    (name) => !wanted.some((chain) => chain.name === name),
  );
  return [...faults, ...strangers.map((name) => `chain ${name} is not ours`)];
}

function ruleFaults(
  chain: string,
  found: readonly string[],
  wanted: readonly string[],
): readonly string[] {
  if (found.join('\n') === wanted.join('\n')) return [];
  const missing = wanted.filter((key) => !found.includes(key)).length;
  const strange = found.filter((key) => !wanted.includes(key)).length;
  return missing + strange === 0
    ? [`chain ${chain} has its rules in another order`]
    : [`chain ${chain} lacks ${missing} of our rules and has ${strange} others`];
}

function setFaults(listing: NftListing, owners: GuardOwners): readonly string[] {
  const present = guardOwners(listing);
  const missing = [...owners].flatMap(([owner, remotes]): readonly string[] => {
    const found = present.get(owner);
    if (found === undefined) return [`the mark of ${owner} is missing`];
    const isSame = sorted(remoteElements(found)) === sorted(remoteElements(remotes));
    return isSame ? [] : [`the VPN servers of ${owner} are not as wanted`];
  });
  const extra = [...present.keys()].filter((owner) => !owners.has(owner));
  return [...missing, ...extra.map((owner) => `the mark of ${owner} is too much`)];
}

const sorted = (list: readonly string[]): string => list.toSorted().join('\n');
