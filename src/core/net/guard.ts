import { BRIDGE_PREFIX } from '../labels.ts';
import { checkOwner, checkRemote, type HostRemote, isOwner } from './host-rules.ts';
import type { NftListing, NftSet } from './nft-json.ts';
import type { FilterRule, Match, Verdict } from './packet-filter.ts';

/** The table on the host. All nodes of one host share it. */
export const GUARD_TABLE = 'inet v6guard';

/**
 * Which form of the guard this is; raised with every change of its chains, their rules or the sets they look into. Where nodes of
 * several versions share a host, the guard of the highest stands, and the others keep their own elements in it: otherwise each
 * would put its own in the place of the other's without end. So `revision`, `owners` and `remotes_…` are of this form for ever.
 */
export const GUARD_REVISION = 1;

/** Who needs the guard, each with the remotes that this host serves for it. The table itself is where this is kept. */
export type GuardOwners = ReadonlyMap<string, readonly HostRemote[]>;

/** Eight hex digits for an owner (FNV-1a): an element of a set must have a value, its comment says whose it is. */
export function ownerMark(owner: string): string {
  let hash = 0x811c9dc5;
  for (const char of checkOwner(owner))
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, '0');
}

const REMOTE_TYPE = 'ipv4_addr . inet_proto . inet_service';
const remoteSet = (owner: string): string => `remotes_${ownerMark(owner)}`;
const withRemotes = (owners: GuardOwners): readonly (readonly [string, readonly HostRemote[]])[] =>
  [...owners].filter(([, remotes]) => remotes.length > 0);

export interface GuardChain {
  readonly name: 'to_host' | 'through';
  readonly hook: 'input' | 'forward';
  readonly rules: readonly FilterRule[];
}

/** Before the filters of iptables and most others: who drops is asked first, and nobody's accept ends it. */
export const GUARD_PRIORITY = -10;

/** The chains with their rules, as they must be for these owners. */
export function guardChains(owners: GuardOwners): readonly GuardChain[] {
  const { uplink, slot } = BRIDGE_PREFIX;
  const from = (prefix: string): Match => ({ field: 'iif', isNot: false, values: [`${prefix}*`] });
  const answers = (prefix: string): FilterRule =>
    rule([from(prefix), match('state', 'established', 'related')], 'accept', 'answers');
  return [
    {
      name: 'to_host',
      hook: 'input',
      rules: [
        answers(uplink),
        // For VPN clients, which stand on uplinks; an algorithm has no business with a VPN server.
        ...withRemotes(owners).map(([owner]) =>
          rule(
            [from(uplink), match('lookup', 'daddr', 'protocol', 'dport', `@${remoteSet(owner)}`)],
            'accept',
            'local VPN server',
          ),
        ),
        rule([from(uplink)], 'drop', `${uplink} to host`),
        answers(slot),
        rule([from(slot)], 'drop', `${slot} to host`),
      ],
    },
    {
      name: 'through',
      hook: 'forward',
      rules: [
        rule(
          [from(slot), { field: 'oif', isNot: true, values: [`${slot}*`] }],
          'drop',
          `${slot} out`,
        ),
        // A cloud's metadata service (RFC 3927 range) gives this machine's credentials to whoever asks through it.
        rule([from(uplink), match('daddr', '169.254.0.0/16')], 'drop', `${uplink} to link-local`),
      ],
    },
  ];
}

const match = (field: Match['field'], ...values: readonly string[]): Match => ({
  field,
  isNot: false,
  values,
});

function rule(matches: readonly Match[], kind: 'accept' | 'drop', comment: string): FilterRule {
  const verdict: Verdict = { kind };
  const made = { matches, verdict, comment: `v6 ${comment}`, text: '' };
  return { ...made, text: renderRule(made) };
}

/** As nft reads and prints it; everything but answers is counted. */
function renderRule({ matches, verdict, comment }: FilterRule): string {
  const words = matches.map(({ field, isNot, values }) => {
    const not = isNot ? '!= ' : '';
    if (field === 'iif' || field === 'oif') return `${field}name ${not}"${values.join()}"`;
    if (field === 'state') return `ct state ${not}${values.join(',')}`;
    if (field === 'daddr') return `ip daddr ${not}${values.join()}`;
    return `ip daddr . meta l4proto . th dport ${not}${values.at(-1)}`;
  });
  const isCounted = !matches.some(({ field }) => field === 'state');
  return [...words, ...(isCounted ? ['counter'] : []), verdict.kind, `comment "${comment}"`].join(
    ' ',
  );
}

/**
 * The whole guard as one batch for nft: either all of it stands afterwards or nothing changed. Without owners there is no
 * table. Frames between members of one bridge are left alone, also where bridge-nf-call-iptables sends them through these
 * hooks: in and out are then the same bridge. Throws V6_FIREWALL_APPLY for words that cannot be.
 */
export function renderGuard(owners: GuardOwners): string {
  const fresh = [`add table ${GUARD_TABLE}`, `delete table ${GUARD_TABLE}`];
  if (owners.size === 0) return lines(fresh);
  return lines([
    ...fresh,
    `add table ${GUARD_TABLE}`,
    `add set ${GUARD_TABLE} revision { type mark; }`,
    `add element ${GUARD_TABLE} revision { ${GUARD_REVISION} }`,
    `add set ${GUARD_TABLE} owners { type mark; }`,
    ...[...owners.keys()].map(
      (owner) => `add element ${GUARD_TABLE} owners { ${ownerElement(owner)} }`,
    ),
    ...withRemotes(owners).flatMap(([owner, remotes]) => [
      `add set ${GUARD_TABLE} ${remoteSet(owner)} { type ${REMOTE_TYPE}; }`,
      `add element ${GUARD_TABLE} ${remoteSet(owner)} { ${remoteElements(remotes).join(', ')} }`,
    ]),
    ...guardChains(owners).map(
      ({ name, hook }) =>
        `add chain ${GUARD_TABLE} ${name} { type filter hook ${hook} priority ${GUARD_PRIORITY}; policy accept; }`,
    ),
    ...guardChains(owners).flatMap(({ name, rules }) =>
      rules.map(({ text }) => `add rule ${GUARD_TABLE} ${name} ${text}`),
    ),
  ]);
}

/**
 * One owner's elements and no more, for a guard of a higher revision. The rule for a first remote comes from the node whose guard it
 * is, which sees the change at once. Throws V6_FIREWALL_APPLY for words that cannot be.
 */
export function renderShare(owner: string, before: GuardOwners, after: GuardOwners): string {
  const set = `${GUARD_TABLE} ${remoteSet(owner)}`;
  const remotes = remoteElements(after.get(owner) ?? []);
  const mark = `${GUARD_TABLE} owners { 0x${ownerMark(owner)} }`;
  return lines([
    // With other words to it, an element that is there cannot be added.
    ...(before.has(owner) ? [`delete element ${mark}`] : []),
    ...(after.has(owner) ? [`add element ${GUARD_TABLE} owners { ${ownerElement(owner)} }`] : []),
    ...(remotes.length > 0 ? [`add set ${set} { type ${REMOTE_TYPE}; }`] : []),
    // A set that a rule looks into cannot go; an empty one lets nobody through.
    ...(remotes.length + (before.get(owner) ?? []).length > 0 ? [`flush set ${set}`] : []),
    ...(remotes.length > 0 ? [`add element ${set} { ${remotes.join(', ')} }`] : []),
  ]);
}

const lines = (list: readonly string[]): string => list.map((line) => `${line}\n`).join('');

/** The element that says whose the guard is. */
export const ownerElement = (owner: string): string =>
  `0x${ownerMark(owner)} comment "v6 ${owner}"`;

export function remoteElements(remotes: readonly HostRemote[]): readonly string[] {
  return [...new Set(remotes.map(remoteElement))];
}

function remoteElement(remote: HostRemote): string {
  const { address, protocol, port } = checkRemote(remote);
  return `${address} . ${protocol} . ${port}`;
}

/** The owners in what `nft -j list table inet v6guard` printed. */
export function guardOwners({ sets }: NftListing): GuardOwners {
  const owners = new Map<string, readonly HostRemote[]>();
  for (const { comment = '' } of sets.get(`${GUARD_TABLE} owners`)?.elements ?? []) {
    const owner = comment.replace(/^v6 /, '');
    if (!isOwner(owner)) continue;
    owners.set(owner, remotesOf(sets.get(`${GUARD_TABLE} ${remoteSet(owner)}`)));
  }
  return owners;
}

function remotesOf(set: NftSet | undefined): readonly HostRemote[] {
  return (set?.elements ?? []).map(({ value }) => {
    const [address = '', protocol, port] = value.split(' . ');
    // IANA protocol numbers, which nft prints where it does not know the names.
    const isTcp = protocol === 'tcp' || protocol === '6';
    return { address, protocol: isTcp ? 'tcp' : 'udp', port: Number(port) };
  });
}
