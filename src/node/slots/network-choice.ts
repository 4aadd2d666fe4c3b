import { V6Error } from '../../core/errors.ts';
import { type Cidr, findFreeCidr, overlaps, rangeOf, subnetsOf } from '../../core/net/ipv4.ts';
import type { NetworkChoice } from '../interfaces/host-view.ts';
import { SLOT_PREFIX } from './slot-plan.ts';

/** A network that is not ours, and whose it is, for messages. */
export interface TakenNetwork {
  readonly subnet: Cidr;
  /** For example `route of eth0` or `network bridge`. */
  readonly owner: string;
}

export interface NetworkChoiceInput {
  /** `SCOPE/NAME`: decides where the search starts, so that nodes of one host seldom meet. */
  readonly owner: string;
  /** `isolated_range` of the configuration. */
  readonly isolatedRange: Cidr | undefined;
  readonly vpnSubnet: Cidr | undefined;
  /** False when the node joins an existing network. */
  readonly ownUplink: boolean;
  readonly stored: NetworkChoice | undefined;
  readonly taken: readonly TakenNetwork[];
}

/**
 * Private ranges (RFC 1918) that engines and home routers do not use by themselves; last the one for benchmarks (RFC 2544),
 * for sites whose routes cover all private ones.
 */
const CANDIDATES = [
  '10.224.0.0/12' as Cidr,
  '10.192.0.0/11' as Cidr,
  '172.28.0.0/14' as Cidr,
  '198.18.0.0/15' as Cidr,
] as const satisfies readonly Cidr[];
const RANGE_PREFIX = 22;
const UPLINK_PREFIX = 28;

/**
 * The ranges of a node's own networks: what the configuration says, else what was chosen before, else free ones. Throws
 * V6_NET_OVERLAP when the configured range, or `vpn_subnet` over it, belongs to somebody else, V6_NET_NO_FREE_RANGE.
 */
export function chooseNetworks(input: NetworkChoiceInput): NetworkChoice {
  const { vpnSubnet, stored, ownUplink } = input;
  if (input.isolatedRange !== undefined) checkConfigured(input.isolatedRange, input);
  const taken = [
    ...input.taken.map(({ subnet }) => subnet),
    ...(vpnSubnet === undefined ? [] : [vpnSubnet]),
  ];
  const isolatedRange =
    input.isolatedRange ??
    (stored !== undefined && isFree(stored.isolatedRange, taken)
      ? stored.isolatedRange
      : findFrom(input.owner, RANGE_PREFIX, taken));
  if (!ownUplink) return { isolatedRange, uplinkSubnet: undefined };
  const withRange = [...taken, isolatedRange];
  const before = stored?.uplinkSubnet;
  const uplinkSubnet =
    before !== undefined && isFree(before, withRange)
      ? before
      : findFrom(`${input.owner}/uplink`, UPLINK_PREFIX, withRange);
  return { isolatedRange, uplinkSubnet };
}

/** Routes and networks that `vpn_subnet` would hide from algorithms, for a warning: the node's own traffic does not use them. */
export function hiddenByVpn(
  vpnSubnet: Cidr | undefined,
  taken: readonly TakenNetwork[],
): readonly TakenNetwork[] {
  if (vpnSubnet === undefined) return [];
  return taken.filter(({ subnet }) => overlaps(subnet, vpnSubnet));
}

const isFree = (subnet: Cidr, others: readonly Cidr[]): boolean =>
  !others.some((other) => overlaps(subnet, other));

function checkConfigured(range: Cidr, input: NetworkChoiceInput): void {
  if (rangeOf(range).prefix > SLOT_PREFIX) {
    throw new V6Error('V6_CONFIG_SUBNET', `isolated_range ${range} is too small for one slot`, {
      hints: [`Give at least a /${SLOT_PREFIX}; a /22 holds 128 runs.`],
    });
  }
  const clash = input.taken.find(({ subnet }) => overlaps(subnet, range));
  if (clash !== undefined) {
    throw new V6Error(
      'V6_NET_OVERLAP',
      `isolated_range ${range} overlaps ${clash.subnet} (${clash.owner})`,
      {
        hints: ['Set isolated_range to a free network, or remove it: the node then chooses one.'],
        details: { range, other: clash.subnet },
      },
    );
  }
  if (input.vpnSubnet !== undefined && overlaps(input.vpnSubnet, range)) {
    throw new V6Error(
      'V6_NET_OVERLAP',
      `isolated_range ${range} overlaps vpn_subnet ${input.vpnSubnet}`,
      { hints: ['Set isolated_range to a network outside vpn_subnet, or remove it.'] },
    );
  }
}

function findFrom(seed: string, prefix: number, taken: readonly Cidr[]): Cidr {
  const [first] = CANDIDATES;
  const count = 2 ** (prefix - rangeOf(first).prefix);
  const start = hash(seed) % count;
  let at = 0;
  for (const subnet of subnetsOf(first, prefix)) {
    if (at >= start && !taken.some((other) => overlaps(subnet, other))) return subnet;
    at += 1;
  }
  return findFreeCidr(CANDIDATES, prefix, taken);
}

/** FNV-1a, 32 bits: spreads names over the candidates; nothing depends on its secrecy. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const char of text) value = Math.imul(value ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return value;
}
