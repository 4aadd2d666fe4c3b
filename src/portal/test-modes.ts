import { V6Error } from '../core/errors.ts';
import { type Cidr, rangeOf, subnetsOf } from '../core/net/ipv4.ts';

/**
 * What other portals do and this one does not unless it is asked to: `testModes` in `portal.json`, so that everything around
 * a portal can be tried with it. Absent: none of it.
 */
export interface PortalTestModes {
  /**
   * As eduVPN's `Api.maxActiveConfigurations`: at the limit a further authorization ends the oldest configuration without a
   * word. Then `v6_node` means nothing, and discovery names no limit.
   */
  readonly maxActiveConfigurations?: number;
  /** Two openvpn processes, one for UDP and one for TCP on the same port, with half of the subnet each and no fixed address. */
  readonly hasTwoSlices?: boolean;
  /** A node gets another address with each connection: its entry changes as soon as it is connected. */
  readonly changesAddresses?: boolean;
  /** Clients are given an IPv6 address and routes beside the IPv4 one; nothing answers there. */
  readonly pushesIpv6?: boolean;
}

/** What is pushed then: of a range for private use (RFC 4193), and a route for all that is public. */
export const IPV6_PUSHES: readonly string[] = [
  'push "tun-ipv6"',
  'push "ifconfig-ipv6 fd76:7636::a/64 fd76:7636::1"',
  'push "route-ipv6 2000::/3"',
  'push "dhcp-option DNS6 fd76:7636::53"',
];

/** One openvpn process of the VPN server. */
export interface ServerProcess {
  /** Of its configuration, in the folder that the container sees. */
  readonly configName: string;
  /** Of its management socket, in the folder that the two containers share. */
  readonly socketName: string;
  readonly device: string;
  readonly protocol: 'udp' | 'tcp';
  /** What its clients get addresses of. */
  readonly subnet: Cidr;
  /** It chooses addresses itself. */
  readonly hasPool: boolean;
}

interface ProcessSettings {
  readonly subnet: Cidr;
  readonly vpn: { readonly protocol: 'udp' | 'tcp' };
  readonly testModes?: PortalTestModes;
}

/** The processes that the settings ask for, UDP before TCP. */
export function serverProcesses({
  subnet,
  vpn,
  testModes,
}: ProcessSettings): readonly ServerProcess[] {
  if (testModes?.hasTwoSlices !== true) {
    const names = { configName: 'server.conf', socketName: 'management.sock' };
    return [{ ...names, device: 'tun0', protocol: vpn.protocol, subnet, hasPool: false }];
  }
  const slices = [...subnetsOf(subnet, rangeOf(subnet).prefix + 1)];
  return (['udp', 'tcp'] as const).map((protocol, at) => ({
    configName: `server-${protocol}.conf`,
    socketName: `management-${protocol}.sock`,
    device: `tun${at}`,
    protocol,
    subnet: slices[at] ?? subnet,
    hasPool: true,
  }));
}

/** What `portal.json` says. Throws V6_CONFIG_INVALID. */
export function checkTestModes(modes: PortalTestModes | undefined): PortalTestModes | undefined {
  const limit = modes?.maxActiveConfigurations;
  if (limit !== undefined && !(Number.isInteger(limit) && limit > 0)) {
    throw new V6Error(
      'V6_CONFIG_INVALID',
      `testModes.maxActiveConfigurations is not a number of configurations: ${String(limit)}`,
      { hints: ['Give 1 or more, or leave it out.'] },
    );
  }
  if (modes?.hasTwoSlices && modes.changesAddresses) {
    throw new V6Error(
      'V6_CONFIG_INVALID',
      'testModes.changesAddresses works with fixed addresses only, and two slices have none',
      { hints: ['Leave one of the two out.'] },
    );
  }
  return modes;
}
