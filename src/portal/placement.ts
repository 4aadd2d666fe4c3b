import type { NetworkState, Networks } from '../core/engine/engine.ts';
import { V6Error } from '../core/errors.ts';
import { names } from '../core/labels.ts';
import {
  addressAt,
  type Cidr,
  containsAddress,
  findFreeCidr,
  type Ipv4,
  overlaps,
  rangeOf,
} from '../core/net/ipv4.ts';
import type { PortalHost } from './interfaces/host.ts';
import type { EmbeddedPortalSettings, PortalPlacement } from './settings.ts';
import { type StartPortalOptions, wantedSubnet } from './start-options.ts';

/** Where a network of our own is looked for: four private ranges that engines do not use by themselves. */
const OWN_NETWORK_RANGES = ['10.77.0.0/16', '10.78.0.0/16', '172.30.0.0/16', '192.168.208.0/20'];
const OWN_NETWORK_PREFIX = 28;

export interface PlacementDeps {
  readonly networks: Pick<Networks, 'list' | 'find'>;
  readonly host: Pick<PortalHost, 'routes'>;
}

export interface PlannedPlacement {
  readonly placement: PortalPlacement;
  /** Subnet of the network to make; undefined when it exists already. */
  readonly newSubnet: Cidr | undefined;
}

/**
 * Network and addresses of the containers. Changes nothing. Throws V6_NET_OVERLAP (the VPN's subnet is taken),
 * V6_NET_NO_FREE_RANGE, V6_CONFIG_INVALID (network or address that cannot be).
 */
export async function planPlacement(
  deps: PlacementDeps,
  options: StartPortalOptions,
  before: EmbeddedPortalSettings | undefined,
): Promise<PlannedPlacement> {
  const subnet = wantedSubnet(options, before);
  const networks = await deps.networks.list({});
  const routes = await deps.host.routes();
  refuseOverlap(subnet, networks, routes);
  const publish = options.publish ?? before?.placement?.publish;
  const joined = options.uplink ?? joinedBefore(before);
  if (joined !== undefined) {
    const network = networks.find(({ name }) => name === joined.network);
    if (network === undefined) throw unknownNetwork(joined.network);
    const addresses = placeIn(network, options.context.scope, joined);
    return {
      placement: { network: joined.network, isOwnNetwork: false, ...addresses, publish },
      newSubnet: undefined,
    };
  }
  const name = names.uplink(options.context.scope, 'portal');
  const existing = networks.find((network) => network.name === name)?.subnets[0];
  const own = existing ?? freeSubnet(subnet, networks, routes);
  return {
    placement: {
      network: name,
      isOwnNetwork: true,
      portalAddress: addressAt(own, 2),
      vpnServerAddress: addressAt(own, 3),
      publish,
    },
    newSubnet: existing === undefined ? own : undefined,
  };
}

type Joined = NonNullable<StartPortalOptions['uplink']>;
type Routes = Awaited<ReturnType<PortalHost['routes']>>;

function joinedBefore(before: EmbeddedPortalSettings | undefined): Joined | undefined {
  const placement = before?.placement;
  return placement === undefined || placement.isOwnNetwork ? undefined : placement;
}

function refuseOverlap(subnet: Cidr, networks: readonly NetworkState[], routes: Routes): void {
  const network = networks.find((known) => known.subnets.some((other) => overlaps(other, subnet)));
  const route = routes.find(({ destination }) => overlaps(destination, subnet));
  if (network === undefined && route === undefined) return;
  const what = network
    ? `the network ${network.name} (${network.subnets.join(', ')})`
    : `the route of this host to ${route?.destination} over ${route?.device}`;
  throw new V6Error('V6_NET_OVERLAP', `The VPN's subnet ${subnet} overlaps ${what}`, {
    hints: ['Choose another range, for example --subnet 10.91.0.0/16.'],
    details: { subnet, network: network?.name, route: route?.destination },
  });
}

function freeSubnet(subnet: Cidr, networks: readonly NetworkState[], routes: Routes): Cidr {
  return findFreeCidr(OWN_NETWORK_RANGES as Cidr[], OWN_NETWORK_PREFIX, [
    subnet,
    ...networks.flatMap((network) => network.subnets),
    ...routes.map(({ destination }) => destination),
  ]);
}

function unknownNetwork(name: string): V6Error {
  return new V6Error('V6_CONFIG_INVALID', `There is no network ${JSON.stringify(name)} to join`, {
    hints: ['See which there are: docker network ls', 'Or leave --network out.'],
  });
}

/** Addresses that were asked for, the rest from the end of the range, where nobody else begins to count. */
function placeIn(
  network: NetworkState,
  scope: Parameters<typeof names.portal>[0],
  asked: Joined,
): { readonly portalAddress: Ipv4; readonly vpnServerAddress: Ipv4 } {
  const [subnet] = network.subnets;
  if (subnet === undefined) throw unknownNetwork(network.name);
  const taken = new Set(
    Object.entries(network.containers)
      .filter(([name]) => name !== names.portal(scope) && name !== names.vpnServer(scope))
      .map(([, address]) => address.split('/')[0] ?? ''),
  );
  if (network.gateway !== undefined) taken.add(network.gateway);
  const { start, end } = rangeOf(subnet);
  const choose = (wanted: Ipv4 | undefined): Ipv4 => {
    if (wanted !== undefined && (!containsAddress(subnet, wanted) || taken.has(wanted))) {
      throw new V6Error(
        'V6_CONFIG_INVALID',
        `${wanted} is not a free address of the network ${network.name} (${subnet})`,
        { hints: ['Leave the address out, or give a free one of that range.'] },
      );
    }
    let address = wanted;
    for (let offset = end - start - 1; address === undefined && offset > 1; offset -= 1) {
      const candidate = addressAt(subnet, offset);
      if (!taken.has(candidate)) address = candidate;
    }
    if (address === undefined) {
      throw new V6Error(
        'V6_NET_NO_FREE_RANGE',
        `No address is free in ${network.name} (${subnet})`,
      );
    }
    taken.add(address);
    return address;
  };
  const first = asked.portalAddress === undefined ? 'vpn' : 'portal';
  // Those that were asked for come first, so that a chosen one does not take theirs.
  if (first === 'portal') {
    const portalAddress = choose(asked.portalAddress);
    return { portalAddress, vpnServerAddress: choose(asked.vpnServerAddress) };
  }
  const vpnServerAddress = choose(asked.vpnServerAddress);
  return { vpnServerAddress, portalAddress: choose(asked.portalAddress) };
}
