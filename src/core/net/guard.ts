import { V6Error } from '../errors.ts';
import { BRIDGE_PREFIX } from '../labels.ts';
import { isIpv4 } from './ipv4.ts';

/** The table on the host. All nodes of one host share it. */
export const GUARD_TABLE = 'inet v6guard';

/** A VPN server that this host itself serves: the one thing that our containers may reach on it. */
export interface LocalRemote {
  readonly address: string;
  readonly port: number;
  readonly protocol: 'udp' | 'tcp';
}

/** Who needs the guard, each with the remotes that it needs. The table itself is where this is kept. */
export type GuardOwners = ReadonlyMap<string, readonly LocalRemote[]>;

const OWNER = /^[A-Za-z0-9_.-]+\/[A-Za-z0-9_.-]+$/;

/** Eight hex digits for an owner (FNV-1a): an element of a set must have a value, its comment says whose it is. */
export function ownerMark(owner: string): string {
  // nft takes comments of 128 bytes.
  if (!OWNER.test(owner) || owner.length > 100)
    throw new V6Error('V6_FIREWALL_APPLY', `Not an owner of host rules: ${JSON.stringify(owner)}`);
  let hash = 0x811c9dc5;
  for (const char of owner) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, '0');
}

/**
 * The whole guard as one batch for nft: either all of it stands afterwards or nothing changed. Without owners there is no
 * table. Frames between members of one bridge are left alone, also where bridge-nf-call-iptables sends them through these
 * hooks: in and out are then the same bridge. Throws V6_FIREWALL_APPLY for words that cannot be.
 */
export function renderGuard(owners: GuardOwners): string {
  const fresh = [`add table ${GUARD_TABLE}`, `delete table ${GUARD_TABLE}`];
  if (owners.size === 0) return lines(fresh);
  const held = [...owners].map(([owner, remotes]) => ({ owner, remotes, mark: ownerMark(owner) }));
  const withRemotes = held.filter(({ remotes }) => remotes.length > 0);
  return lines([
    ...fresh,
    `add table ${GUARD_TABLE}`,
    `add set ${GUARD_TABLE} owners { type mark; }`,
    ...held.map(
      ({ owner, mark }) => `add element ${GUARD_TABLE} owners { 0x${mark} comment "v6 ${owner}" }`,
    ),
    ...withRemotes.flatMap(({ mark, remotes }) => [
      `add set ${GUARD_TABLE} remotes_${mark} { type ipv4_addr . inet_proto . inet_service; }`,
      `add element ${GUARD_TABLE} remotes_${mark} { ${[...new Set(remotes.map(toElement))].join(', ')} }`,
    ]),
    `add chain ${GUARD_TABLE} to_host { type filter hook input priority -10; policy accept; }`,
    `add chain ${GUARD_TABLE} through { type filter hook forward priority -10; policy accept; }`,
    ...[BRIDGE_PREFIX.uplink, BRIDGE_PREFIX.slot].flatMap((prefix) => [
      rule('to_host', `iifname "${prefix}*" ct state established,related accept`, 'answers'),
      // For VPN clients, which stand on uplinks; an algorithm has no business with a VPN server.
      ...(prefix === BRIDGE_PREFIX.uplink ? withRemotes : []).map(({ mark }) =>
        rule(
          'to_host',
          `iifname "${prefix}*" ip daddr . meta l4proto . th dport @remotes_${mark} counter accept`,
          'local VPN server',
        ),
      ),
      rule('to_host', `iifname "${prefix}*" counter drop`, `${prefix} to host`),
    ]),
    rule(
      'through',
      `iifname "${BRIDGE_PREFIX.slot}*" oifname != "${BRIDGE_PREFIX.slot}*" counter drop`,
      `${BRIDGE_PREFIX.slot} out`,
    ),
    // A cloud's metadata service (RFC 3927 range) gives this machine's credentials to whoever asks through it.
    rule(
      'through',
      `iifname "${BRIDGE_PREFIX.uplink}*" ip daddr 169.254.0.0/16 counter drop`,
      `${BRIDGE_PREFIX.uplink} to link-local`,
    ),
  ]);
}

const lines = (list: readonly string[]): string => list.map((line) => `${line}\n`).join('');

function rule(chain: string, words: string, comment: string): string {
  return `add rule ${GUARD_TABLE} ${chain} ${words} comment "v6 ${comment}"`;
}

function toElement({ address, port, protocol }: LocalRemote): string {
  const isGood =
    isIpv4(address) &&
    Number.isInteger(port) &&
    port >= 1 &&
    port <= 65535 &&
    (protocol === 'udp' || protocol === 'tcp');
  if (!isGood)
    throw new V6Error(
      'V6_FIREWALL_APPLY',
      `Not a remote: ${JSON.stringify(`${address}:${port}/${protocol}`)}`,
    );
  return `${address} . ${protocol} . ${port}`;
}

/** The owners in the text of `nft list table`. */
export function parseGuard(text: string): GuardOwners {
  const owners = new Map<string, readonly LocalRemote[]>();
  for (const [, owner = ''] of setBody(text, 'owners').matchAll(/comment "v6 ([^"]+)"/g)) {
    const body = OWNER.test(owner) ? setBody(text, `remotes_${ownerMark(owner)}`) : '';
    const remotes = [...body.matchAll(/([\d.]+) \. (tcp|udp|6|17) \. (\d+)/g)].map(
      ([, address = '', protocol, port]): LocalRemote => ({
        address,
        // IANA protocol numbers, which nft prints where it does not know the names.
        protocol: protocol === 'tcp' || protocol === '6' ? 'tcp' : 'udp',
        port: Number(port),
      }),
    );
    owners.set(owner, remotes);
  }
  return owners;
}

function setBody(text: string, name: string): string {
  const start = text.indexOf(`set ${name} {`);
  return start < 0 ? '' : text.slice(start, text.indexOf('\n\t}', start));
}
