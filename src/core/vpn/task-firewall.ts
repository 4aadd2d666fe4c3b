import { V6Error } from '../errors.ts';
import { type Cidr, type Ipv4, ipv4ToNumber, rangeOf } from '../net/ipv4.ts';
import { type PortMapping, TUNNEL_PORTS } from './tunnel.ts';

/** Where an algorithm listens in the VPN, as the server lists it: a node's tunnel address and a tunnel port of it. */
export interface Destination {
  readonly address: Ipv4;
  readonly protocol: 'tcp' | 'udp';
  /** 1–65535 */
  readonly port: number;
}

/** What one live run needs from the task firewall. Its family: tasks with its task, the parent of that, and its children. */
export interface RunNetwork {
  readonly task: number;
  readonly parent: number | null;
  /** The algorithm container's address on its slot; no two runs have the same. */
  readonly algorithm: Ipv4;
  readonly mappings: readonly PortMapping[];
  /** VPN addresses of the other nodes that take part in the family: these may open flows to the mappings. */
  readonly peers: readonly Ipv4[];
  /** What the family has registered on other nodes: to these the algorithm may open flows. */
  readonly destinations: readonly Destination[];
  /** The family was not read yet: what an earlier daemon had for the run stays. */
  readonly isUnread?: boolean;
}

/** What the task firewall refused to a run. */
export interface Refusal {
  /** `sending`: of the algorithm, to `address` and `port`. `receiving`: from `address`, to the run's tunnel port `port`. */
  readonly side: 'sending' | 'receiving';
  readonly address: Ipv4;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly packets: number;
}

/** Where the addresses of this node lie. */
export interface AddressPlan {
  readonly isolatedRange: Cidr;
  /** Undefined when the VPN is off: then no flow is allowed at all. */
  readonly vpnSubnet: Cidr | undefined;
}

/** One pair of addresses that may speak, as packets have them when they are forwarded: behind the map. */
export interface Allowed {
  readonly source: Ipv4;
  readonly destination: Ipv4;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

const isPort = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65535;
const isProtocol = (text: string): boolean => text === 'tcp' || text === 'udp';

/**
 * Who may reach the run from the VPN. Values are checked, because they become words of commands: throws V6_FIREWALL_APPLY for one
 * that cannot be.
 */
export function receivingOf(run: number, network: RunNetwork, plan: AddressPlan): Allowed[] {
  const isInVpn = within(plan.vpnSubnet);
  const ports = new Map<string, Pick<Allowed, 'protocol' | 'port'>>();
  for (const { protocol, port } of network.mappings)
    ports.set(`${protocol} ${port}`, { protocol, port });
  return network.peers.flatMap((source) => {
    if (!isInVpn(source)) throw impossible(run, `peer ${JSON.stringify(source)}`);
    return [...ports.values()].map((end) => ({ source, destination: network.algorithm, ...end }));
  });
}

/** Whom the run may reach on other nodes. Throws V6_FIREWALL_APPLY for a value that cannot be. */
export function sendingOf(run: number, network: RunNetwork, plan: AddressPlan): Allowed[] {
  const isInVpn = within(plan.vpnSubnet);
  return network.destinations.map(({ address, protocol, port }) => {
    if (!isInVpn(address) || !isProtocol(protocol) || !isPort(port))
      throw impossible(run, `destination ${JSON.stringify(`${address} ${port} ${protocol}`)}`);
    return { source: network.algorithm, destination: address, protocol, port };
  });
}

/** Whom the run may reach on this very node, by the own tunnel address: the ports of all live runs of its family, its own too. */
export function hairpinsOf(
  network: RunNetwork,
  live: readonly Pick<RunNetwork, 'task' | 'parent' | 'algorithm' | 'mappings'>[],
): Allowed[] {
  return live
    .filter((other) => isFamily(network, other))
    .flatMap(({ algorithm, mappings }) =>
      mappings.map(({ protocol, port }) => ({
        source: network.algorithm,
        destination: algorithm,
        protocol,
        port,
      })),
    );
}

/** The family of a task: itself, its parent and its children. Siblings are strangers. */
export function isFamily(
  one: Pick<RunNetwork, 'task' | 'parent'>,
  other: Pick<RunNetwork, 'task' | 'parent'>,
): boolean {
  return one.task === other.task || one.parent === other.task || other.parent === one.task;
}

/** Throws V6_FIREWALL_APPLY unless the mapping lies in the pool of tunnel ports and leads to an algorithm of this node. */
export function checkMapping(run: number, mapping: PortMapping, isolatedRange: Cidr): void {
  const { protocol, tunnelPort, port, address } = mapping;
  const isInPool = tunnelPort >= TUNNEL_PORTS.first && tunnelPort <= TUNNEL_PORTS.last;
  const problem = !isProtocol(protocol)
    ? `protocol ${JSON.stringify(protocol)}`
    : !isPort(tunnelPort) || !isInPool
      ? `tunnel port ${tunnelPort}`
      : !isPort(port)
        ? `port ${port}`
        : !within(isolatedRange)(address)
          ? `address ${JSON.stringify(address)} outside ${isolatedRange}`
          : undefined;
  if (problem !== undefined) throw impossible(run, problem);
}

/** Throws V6_FIREWALL_APPLY unless the algorithm has an address of this node. */
export function checkAlgorithm(run: number, network: RunNetwork, isolatedRange: Cidr): void {
  if (!within(isolatedRange)(network.algorithm))
    throw impossible(run, `address ${JSON.stringify(network.algorithm)} outside ${isolatedRange}`);
  if (network.mappings.some(({ address }) => address !== network.algorithm))
    throw impossible(run, 'a mapping leads to another algorithm');
}

function within(range: Cidr | undefined): (address: string) => boolean {
  if (range === undefined) return () => false;
  const { start, end } = rangeOf(range);
  return (address) => {
    const value = ipv4ToNumber(address) ?? -1;
    return value >= start && value <= end;
  };
}

function impossible(run: number, problem: string): V6Error {
  return new V6Error('V6_FIREWALL_APPLY', `Run ${run} cannot have this in the rules: ${problem}`);
}
