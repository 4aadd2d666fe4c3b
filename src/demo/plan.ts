import { V6Error } from '../core/errors.ts';
import {
  addressAt,
  type Cidr,
  findFreeCidr,
  type Ipv4,
  overlaps,
  rangeOf,
  subnetsOf,
} from '../core/net/ipv4.ts';

/** What a demo is made of: decided once, stored, and followed by every later `up`, `status` and `down`. */
export interface DemoPlan {
  readonly version: 1;
  /** Subnet of the one network that portal, VPN server, coordination server and VPN clients share (a /24). */
  readonly uplink: Cidr;
  readonly portalAddress: Ipv4;
  readonly vpnServerAddress: Ipv4;
  readonly serverAddress: Ipv4;
  /** The VPN's own range. */
  readonly vpnSubnet: Cidr;
  /** Cut into one /24 per node for its slots. */
  readonly isolated: Cidr;
  /** Where the coordination server answers on this host's loopback. */
  readonly serverPort: number;
  /** Whether its collaboration is; absent: no. */
  readonly encrypted?: boolean;
  readonly nodes: readonly DemoNode[];
}

export interface DemoNode {
  /** 1 and up: the number in its name. */
  readonly index: number;
  readonly name: string;
  readonly organization: string;
  readonly isolatedRange: Cidr;
}

/** At most this many nodes on one machine: each needs a /24 out of the demo's /18. */
export const MAX_DEMO_NODES = 32;

/** Ports on which the VPN portal and the coordination server listen inside their containers. */
export const DEMO_PORTS = { portal: 8080, server: 7601, openvpn: 1194 } as const;

const UPLINK_CANDIDATES = ['172.30.0.0/16', '10.176.0.0/16', '192.168.224.0/19'] as Cidr[];
const VPN_CANDIDATES = ['10.76.0.0/16', '10.176.0.0/12', '172.24.0.0/14'] as Cidr[];
const ISOLATED_CANDIDATES = ['10.77.0.0/16', '10.178.0.0/15', '172.28.0.0/15'] as Cidr[];

export interface PlanInput {
  /** How many nodes, 1–32. */
  readonly nodes: number;
  /** Subnets of other networks and of the host's routes; none of the demo's own. */
  readonly taken: readonly Cidr[];
  /** A port of loopback that is free, or the one that the user asked for. */
  readonly serverPort: number;
  readonly encrypted?: boolean;
  /** The plan of the demo that is there already: its addresses stay. */
  readonly previous?: DemoPlan;
}

/** Decides names and addresses. Throws V6_USAGE (number of nodes), V6_NET_NO_FREE_RANGE. */
export function planDemo({
  nodes,
  taken,
  serverPort,
  encrypted = false,
  previous,
}: PlanInput): DemoPlan {
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > MAX_DEMO_NODES) {
    throw new V6Error('V6_USAGE', `--nodes is ${nodes}`, {
      hints: [`Give a whole number from 1 to ${MAX_DEMO_NODES}.`],
    });
  }
  if (previous !== undefined) return { ...previous, nodes: planNodes(nodes, previous.isolated) };
  const uplink = findFreeCidr(UPLINK_CANDIDATES, 24, taken);
  const vpnSubnet = findFreeCidr(VPN_CANDIDATES, 16, [...taken, uplink]);
  const isolated = findFreeCidr(ISOLATED_CANDIDATES, 18, [...taken, uplink, vpnSubnet]);
  return {
    version: 1,
    uplink,
    portalAddress: addressAt(uplink, 10),
    vpnServerAddress: addressAt(uplink, 11),
    serverAddress: addressAt(uplink, 12),
    vpnSubnet,
    isolated,
    serverPort,
    ...(encrypted ? { encrypted } : {}),
    nodes: planNodes(nodes, isolated),
  };
}

/** Upper half of the uplink: for VPN clients and whatever else asks for no address, so that nobody takes a fixed one. */
export function uplinkPool({ uplink }: Pick<DemoPlan, 'uplink'>): Cidr {
  const [, upper] = subnetsOf(uplink, rangeOf(uplink).prefix + 1);
  return upper ?? uplink;
}

function planNodes(count: number, isolated: Cidr): DemoNode[] {
  const ranges = subnetsOf(isolated, 24);
  return Array.from({ length: count }, (_, at) => {
    const index = at + 1;
    const range = ranges.next().value;
    if (range === undefined)
      throw new V6Error('V6_NET_NO_FREE_RANGE', `No range left for node ${index} in ${isolated}`);
    return {
      index,
      name: `hospital-${index}`,
      organization: `hospital-${index}`,
      isolatedRange: range,
    };
  });
}

/** The parts of a stored plan that are taken by somebody else by now, e.g. after a reboot. */
export function planConflicts(
  plan: DemoPlan,
  taken: readonly Cidr[],
): readonly { ours: Cidr; theirs: Cidr }[] {
  return [plan.uplink, plan.vpnSubnet, plan.isolated].flatMap((ours) =>
    taken.filter((theirs) => overlaps(ours, theirs)).map((theirs) => ({ ours, theirs })),
  );
}

/** Reads a stored plan back. Undefined when the text is not one: a demo of another version, or a torn file. */
export function parsePlan(text: string): DemoPlan | undefined {
  try {
    const value = JSON.parse(text) as Partial<DemoPlan> | null;
    return value?.version === 1 && typeof value.uplink === 'string' && Array.isArray(value.nodes)
      ? (value as DemoPlan)
      : undefined;
  } catch {
    return undefined;
  }
}
