import type { NodeConfig } from '../../core/config/node-config.ts';
import type { NetworkSpec, NetworkState, Networks } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import { isOurBridge, LABEL, names } from '../../core/labels.ts';
import type { Logger } from '../../core/logger.ts';
import type { Cidr } from '../../core/net/ipv4.ts';
import type { HostView, NetworkChoice, NetworkChoiceStore } from '../interfaces/host-view.ts';
import { chooseNetworks, hiddenByVpn, type TakenNetwork } from './network-choice.ts';
import { type SlotOwner, uplinkNetwork } from './slot-plan.ts';

export interface OwnNetworksDeps {
  readonly networks: Pick<Networks, 'list' | 'find' | 'ensure' | 'remove'>;
  readonly host: Pick<HostView, 'routes'>;
  readonly choices: NetworkChoiceStore;
  readonly logger: Logger;
}

export interface OwnNetworks {
  readonly isolatedRange: Cidr;
  /** Network that leads the VPN client out of the host. */
  readonly uplink: string;
  /** The uplink's bridge on the host and its range; absent where the engine does not tell. */
  readonly uplinkBridge: { readonly bridge: string; readonly subnet: Cidr } | undefined;
  /** The uplink's gateway: where a VPN server on this very host is reached. */
  readonly uplinkGateway: string | undefined;
  /** False when the uplink was there before us: then it stays. */
  readonly isOwnUplink: boolean;
  /** How an uplink of our own is made again when somebody removed it. */
  readonly ownUplink?: NetworkSpec;
}

type Config = Pick<NodeConfig, 'isolatedRange' | 'uplinkNetwork' | 'vpnSubnet'>;

/**
 * Settles which ranges the node uses, keeps that, and makes the uplink. Warns where `vpn_subnet` covers a network of the host.
 * Throws V6_NET_OVERLAP, V6_NET_NO_FREE_RANGE, V6_CONFIG_INVALID (the configured uplink network does not exist).
 */
export async function settleNetworks(
  deps: OwnNetworksDeps,
  owner: SlotOwner,
  config: Config,
): Promise<OwnNetworks> {
  const { networks, choices, logger } = deps;
  const taken = await takenNetworks(deps, owner);
  for (const { subnet, owner: whose } of hiddenByVpn(config.vpnSubnet, taken)) {
    logger.warn('vpn_subnet covers a network of this host; algorithms reach the VPN there', {
      code: 'V6_NET_OVERLAP',
      subnet,
      vpnSubnet: config.vpnSubnet,
      network: whose,
    });
  }
  const given =
    config.uplinkNetwork === undefined
      ? undefined
      : await getUplink(networks, config.uplinkNetwork);
  const stored = await choices.find();
  const choice = chooseNetworks({
    owner: `${owner.scope}/${owner.node}`,
    isolatedRange: config.isolatedRange,
    vpnSubnet: config.vpnSubnet,
    ownUplink: config.uplinkNetwork === undefined,
    stored,
    taken,
  });
  if (!isSame(stored, choice)) await choices.save(choice);
  const { isolatedRange, uplinkSubnet } = choice;
  if (given !== undefined) {
    // The node had an uplink of its own before it was told to join another.
    await networks.remove(names.uplink(owner.scope, owner.node));
    const { name, gateway } = given;
    return {
      isolatedRange,
      uplink: name,
      uplinkBridge: bridgeOf(given),
      uplinkGateway: gateway,
      isOwnUplink: false,
    };
  }
  if (uplinkSubnet === undefined)
    throw new V6Error('V6_BUG', 'No subnet was chosen for the uplink');
  const spec = uplinkNetwork(owner, uplinkSubnet);
  const present = await networks.find(spec.name);
  // An uplink in another range is of an earlier choice; nothing can run on it now that must stay.
  if (present !== undefined && !present.subnets.includes(uplinkSubnet))
    await networks.remove(spec.name);
  await networks.ensure(spec);
  return {
    isolatedRange,
    uplink: spec.name,
    uplinkBridge: { bridge: spec.bridge, subnet: uplinkSubnet },
    uplinkGateway: spec.gateway,
    isOwnUplink: true,
    ownUplink: spec,
  };
}

/**
 * The uplink that `settleNetworks` would make for a node with an uplink of its own; makes and keeps nothing. Throws
 * V6_NET_OVERLAP, V6_NET_NO_FREE_RANGE.
 */
export async function foreseeUplink(
  deps: Pick<OwnNetworksDeps, 'host'> & {
    readonly networks: Pick<Networks, 'list'>;
    readonly choices: Pick<NetworkChoiceStore, 'find'>;
  },
  owner: SlotOwner,
  config: Config,
): Promise<{ readonly uplink: NetworkSpec; readonly isStored: boolean }> {
  const stored = await deps.choices.find();
  const { uplinkSubnet } = chooseNetworks({
    owner: `${owner.scope}/${owner.node}`,
    isolatedRange: config.isolatedRange,
    vpnSubnet: config.vpnSubnet,
    ownUplink: true,
    stored,
    taken: await takenNetworks(deps, owner),
  });
  if (uplinkSubnet === undefined)
    throw new V6Error('V6_BUG', 'No subnet was chosen for the uplink');
  return {
    uplink: uplinkNetwork(owner, uplinkSubnet),
    isStored: stored?.uplinkSubnet === uplinkSubnet,
  };
}

async function takenNetworks(
  { networks, host }: Pick<OwnNetworksDeps, 'host'> & { readonly networks: Pick<Networks, 'list'> },
  owner: SlotOwner,
): Promise<readonly TakenNetwork[]> {
  const ofEngine = (await networks.list({}))
    .filter((network) => !isOurs(network, owner))
    .flatMap(({ name, subnets }) =>
      subnets.map((subnet) => ({ subnet, owner: `the engine's network ${name}` })),
    );
  const ofHost = (await host.routes())
    .filter(({ device }) => !isOurBridge(device))
    .map(({ destination, device }) => ({ subnet: destination, owner: `the route to ${device}` }));
  return [...ofEngine, ...ofHost];
}

function isOurs({ labels }: NetworkState, { scope, node }: SlotOwner): boolean {
  const kind = labels[LABEL.kind];
  return (
    (kind === 'slot' || kind === 'uplink') &&
    labels[LABEL.scope] === scope &&
    labels[LABEL.node] === node
  );
}

async function getUplink(networks: Pick<Networks, 'find'>, name: string): Promise<NetworkState> {
  const found = await networks.find(name);
  if (found !== undefined) return found;
  throw new V6Error('V6_CONFIG_INVALID', `uplink_network ${name} does not exist`, {
    hints: [
      `Create it: docker network create ${name}`,
      'Or remove uplink_network: the node then makes a network of its own.',
    ],
    details: { network: name },
  });
}

function bridgeOf({ bridge, subnets }: NetworkState): OwnNetworks['uplinkBridge'] {
  const [subnet] = subnets;
  return bridge === undefined || subnet === undefined ? undefined : { bridge, subnet };
}

function isSame(a: NetworkChoice | undefined, b: NetworkChoice): boolean {
  return a?.isolatedRange === b.isolatedRange && a.uplinkSubnet === b.uplinkSubnet;
}
