import { V6Error } from '../errors.ts';
import { type Cidr, type Ipv4, ipv4ToNumber, numberToIpv4, rangeOf } from '../net/ipv4.ts';
import type { Slot } from './slot.ts';

/** The table in the VPN client (images/vpn/client.nft). */
export const CLIENT_TABLE = 'inet v6client';

/** The state file of the slots (images/vpn/entry.sh): one per line, data only. */
export function renderSlotsState(slots: readonly Slot[]): string {
  return slots
    .map(
      (slot) =>
        `${slot.index} ${gatewayWithLength(slot)} ${slot.client} ${linkAddress(slot.gateway)}\n`,
    )
    .join('');
}

/** `10.0.0.1/29` */
export function gatewayWithLength(slot: Pick<Slot, 'gateway' | 'subnet'>): string {
  return `${slot.gateway}/${rangeOf(slot.subnet).prefix}`;
}

/** The link address that the VPN client takes on a slot: from its gateway address, so that it is the same after every restart. Locally administered (IEEE 802, second bit). */
export function linkAddress(gateway: Ipv4): string {
  const value = ipv4ToNumber(gateway);
  if (value === undefined) throw new RangeError(`not an address: ${gateway}`);
  const hex = value.toString(16).padStart(8, '0');
  return `02:76:${hex.match(/../g)?.join(':')}`;
}

/** Throws V6_FIREWALL_APPLY unless the slot lies in the range and its addresses in the slot: they become words of commands. */
export function checkSlot(slot: Slot, isolatedRange: Cidr): void {
  const range = rangeOf(isolatedRange);
  const [first = ''] = slot.subnet.split('/');
  const subnet = rangeOf(slot.subnet);
  const inside = (text: string): boolean => {
    const value = ipv4ToNumber(text) ?? -1;
    return value > subnet.start && value < subnet.end;
  };
  const isGood =
    Number.isInteger(slot.index) &&
    slot.index >= 0 &&
    numberToIpv4(subnet.start) === first &&
    /^\d{1,2}$/.test(String(subnet.prefix)) &&
    subnet.start >= range.start &&
    subnet.end <= range.end &&
    [slot.gateway, slot.client, slot.algorithm].every(inside);
  if (!isGood)
    throw new V6Error(
      'V6_FIREWALL_APPLY',
      `Impossible slot ${slot.network} (${slot.subnet}) in ${isolatedRange}`,
    );
}

/** Packets and bytes that a rule with this comment let through or dropped. */
export interface RuleCounter {
  readonly packets: number;
  readonly bytes: number;
}

/** The counters in the text of `nft list table`, by comment without the leading `v6 `. */
export function parseCounters(text: string): Readonly<Record<string, RuleCounter>> {
  const found: Record<string, RuleCounter> = {};
  for (const match of text.matchAll(
    /counter packets (\d+) bytes (\d+)[^\n]* comment "v6 ([^"\n]+)"/g,
  )) {
    found[match[3] ?? ''] = { packets: Number(match[1]), bytes: Number(match[2]) };
  }
  return found;
}
