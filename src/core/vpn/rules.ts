import { V6Error } from '../errors.ts';
import { type Cidr, type Ipv4, ipv4ToNumber, isIpv4, numberToIpv4, rangeOf } from '../net/ipv4.ts';
import type { Slot } from './slot.ts';
import { type PortMapping, type Remote, TUNNEL_PORTS } from './tunnel.ts';

/** The table in the VPN client (images/vpn/client.nft). */
export const CLIENT_TABLE = 'inet v6client';

/** Desired content of the map, by run. */
export type MappingsByRun = ReadonlyMap<number, readonly PortMapping[]>;

const isPort = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65535;

/**
 * All mappings in one list, checked: these values become words of commands. Throws V6_FIREWALL_APPLY for one that cannot
 * be, and for a tunnel port that two mappings claim.
 */
export function planMappings(byRun: MappingsByRun, isolatedRange: Cidr): readonly PortMapping[] {
  const holders = new Map<string, number>();
  const all: PortMapping[] = [];
  for (const [run, mappings] of byRun) {
    for (const mapping of mappings) {
      checkMapping(run, mapping, isolatedRange);
      const key = `${mapping.protocol} ${mapping.tunnelPort}`;
      const holder = holders.get(key);
      if (holder !== undefined)
        throw new V6Error(
          'V6_FIREWALL_APPLY',
          `Tunnel port ${mapping.tunnelPort}/${mapping.protocol} of run ${run} is held by run ${holder}`,
        );
      holders.set(key, run);
      all.push(mapping);
    }
  }
  return all;
}

function checkMapping(run: number, mapping: PortMapping, isolatedRange: Cidr): void {
  const { start, end } = rangeOf(isolatedRange);
  const address = ipv4ToNumber(mapping.address) ?? -1;
  const problem =
    mapping.protocol !== 'tcp' && mapping.protocol !== 'udp'
      ? `protocol ${JSON.stringify(mapping.protocol)}`
      : !isPort(mapping.tunnelPort) ||
          mapping.tunnelPort < TUNNEL_PORTS.first ||
          mapping.tunnelPort > TUNNEL_PORTS.last
        ? `tunnel port ${mapping.tunnelPort}`
        : !isPort(mapping.port)
          ? `port ${mapping.port}`
          : address < start || address > end
            ? `address ${JSON.stringify(mapping.address)} outside ${isolatedRange}`
            : undefined;
  if (problem !== undefined)
    throw new V6Error('V6_FIREWALL_APPLY', `Run ${run} has an impossible mapping: ${problem}`);
}

/** One transaction that makes the map hold exactly these mappings. Never a delta: what stands there need not be known. */
export function renderMapTransaction(mappings: readonly PortMapping[]): string {
  const elements = mappings.map(
    ({ protocol, tunnelPort, address, port }) =>
      `${protocol} . ${tunnelPort} : ${address} . ${port}`,
  );
  return transaction('map', 'ports', elements);
}

/** One transaction that makes these remotes, and no others, reachable from the VPN client. */
export function renderRemotesTransaction(remotes: readonly Remote[]): string {
  const elements = new Set(
    remotes.map((remote) => {
      checkRemote(remote);
      return `${remote.address} . ${remote.protocol} . ${remote.port}`;
    }),
  );
  return transaction('set', 'remotes', [...elements]);
}

function checkRemote({ address, port, protocol }: Remote): void {
  if (!isIpv4(address) || !isPort(port) || (protocol !== 'udp' && protocol !== 'tcp'))
    throw new V6Error(
      'V6_FIREWALL_APPLY',
      `Impossible remote ${JSON.stringify(`${address} ${port} ${protocol}`)}`,
    );
}

function transaction(kind: 'map' | 'set', name: string, elements: readonly string[]): string {
  const flush = `flush ${kind} ${CLIENT_TABLE} ${name}`;
  return elements.length === 0
    ? flush
    : `${flush}; add element ${CLIENT_TABLE} ${name} { ${elements.join(', ')} }`;
}

/** The state files of images/vpn/entry.sh: one element per line, data only. */
export function renderPortsState(mappings: readonly PortMapping[]): string {
  return lines(
    mappings.map(
      ({ protocol, tunnelPort, address, port }) => `${protocol} ${tunnelPort} ${address} ${port}`,
    ),
  );
}

export function renderRemotesState(remotes: readonly Remote[]): string {
  return lines(remotes.map(({ address, protocol, port }) => `${address} ${protocol} ${port}`));
}

export function renderSlotsState(slots: readonly Slot[]): string {
  return lines(
    slots.map(
      (slot) =>
        `${slot.index} ${gatewayWithLength(slot)} ${slot.client} ${linkAddress(slot.gateway)}`,
    ),
  );
}

function lines(list: readonly string[]): string {
  return list.map((line) => `${line}\n`).join('');
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
