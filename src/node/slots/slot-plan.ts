import type { NetworkSpec } from '../../core/engine/engine.ts';
import { BRIDGE_PREFIX, bridgeName, labelsFor, names, type Scope } from '../../core/labels.ts';
import { addressAt, type Cidr, numberToIpv4, rangeOf } from '../../core/net/ipv4.ts';
import type { Slot } from '../../core/vpn/slot.ts';

/** Slots are /29: network, gateway, VPN client, algorithm, and three that stay unused. */
export const SLOT_PREFIX = 29;
const SLOT_SIZE = 2 ** (32 - SLOT_PREFIX);

export interface SlotOwner {
  readonly scope: Scope;
  readonly node: string;
}

/** How many slots a range holds. */
export function slotCapacity(range: Cidr): number {
  return Math.max(0, 2 ** (SLOT_PREFIX - rangeOf(range).prefix));
}

/** The slot with this index (0 and up, below the range's capacity). */
export function slotAt(owner: SlotOwner, range: Cidr, index: number): Slot {
  const start = rangeOf(range).start + index * SLOT_SIZE;
  const subnet = `${numberToIpv4(start)}/${SLOT_PREFIX}` as Cidr;
  const network = names.slot(owner.scope, owner.node, index);
  return {
    index,
    network,
    bridge: bridgeName(BRIDGE_PREFIX.slot, network),
    subnet,
    gateway: addressAt(subnet, 1),
    client: addressAt(subnet, 2),
    algorithm: addressAt(subnet, 3),
  };
}

/** The engine's network of a slot. */
export function slotNetwork(owner: SlotOwner, slot: Slot): NetworkSpec {
  return {
    name: slot.network,
    labels: labelsFor({ kind: 'slot', ...owner }),
    subnet: slot.subnet,
    gateway: slot.gateway,
    bridge: slot.bridge,
    form: 'slot',
  };
}

/** The engine's network that leads the VPN client out of the host. */
export function uplinkNetwork(owner: SlotOwner, subnet: Cidr): NetworkSpec {
  const name = names.uplink(owner.scope, owner.node);
  return {
    name,
    labels: labelsFor({ kind: 'uplink', ...owner }),
    subnet,
    gateway: addressAt(subnet, 1),
    bridge: bridgeName(BRIDGE_PREFIX.uplink, name),
    form: 'uplink',
  };
}
