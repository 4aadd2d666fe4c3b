import { createHash } from 'node:crypto';
import type { ContainerSpec } from '../../core/engine/engine.ts';
import { labelsFor, names, type Scope } from '../../core/labels.ts';
import type { Cidr, Ipv4 } from '../../core/net/ipv4.ts';
import type { Slot } from '../../core/vpn/slot.ts';

/** Hash of everything that only a new container can change; slots are attached and detached live. */
export const SETTINGS_LABEL = 'v6.settings';

/** Folders of one node that the VPN client sees, each a mount of its own: what it may write it cannot use to read the rest. */
export interface ClientFolders {
  /** The client config, read-only inside. */
  readonly client: string;
  /** OpenVPN's management socket. */
  readonly mgmt: string;
  /** The proxy's sockets, one for each slot. */
  readonly proxy: string;
  /** Slots, remotes, ports: what a restart restores. Read-only inside. */
  readonly state: string;
}

export function clientFolders(runDir: string): ClientFolders {
  return {
    client: `${runDir}/client`,
    mgmt: `${runDir}/mgmt`,
    proxy: `${runDir}/proxy`,
    state: `${runDir}/state`,
  };
}

/** OpenVPN takes some 10 MB, a relayed connection below 1 MB, and the relays are bounded. */
const MEMORY_BYTES = 2 ** 30;

export interface ClientContainer {
  readonly image: string;
  readonly node: { readonly name: string; readonly scope: Scope };
  readonly runDir: string;
  readonly uplink: { readonly network: string; readonly address?: Ipv4 };
  readonly uplinkGateway: string | undefined;
  readonly vpnSubnet: Cidr | undefined;
  readonly isolatedRange: Cidr;
  /** Give it the tun device: false where the host has none. */
  readonly tun: boolean;
  /** Whether the kernel has IPv6 at all: a setting of it that does not exist keeps the container from starting. */
  readonly ipv6: boolean;
}

/**
 * The VPN client's container (network-design 2.2): NET_ADMIN and the tun device, nothing else. Switched on in its own name
 * space: forwarding, and announcements of a changed link address; switched off: redirects, of its own and
 * of others, and IPv6.
 */
export function clientContainerSpec(input: ClientContainer, slots: readonly Slot[]): ContainerSpec {
  const { image, node, uplink, tun } = input;
  const folders = clientFolders(input.runDir);
  const base = {
    image,
    env: {
      V6_ISOLATED_RANGE: input.isolatedRange,
      V6_VPN_SUBNET: input.vpnSubnet ?? '',
      V6_UPLINK_GATEWAY: input.uplinkGateway ?? '',
    },
    mounts: [
      { source: folders.client, target: '/client', readOnly: true, isMadeWhenMissing: true },
      { source: folders.mgmt, target: '/mgmt', isMadeWhenMissing: true },
      { source: folders.proxy, target: '/proxy', isMadeWhenMissing: true },
      { source: folders.state, target: '/state', readOnly: true, isMadeWhenMissing: true },
    ],
    tmpfs: ['/run', '/tmp'],
    devices: tun ? ['/dev/net/tun'] : [],
    capabilities: ['NET_ADMIN'],
    readOnlyRoot: true,
    dns: ['127.0.0.1'],
    sysctls: {
      'net.ipv4.ip_forward': '1',
      'net.ipv4.conf.all.arp_notify': '1',
      'net.ipv4.conf.default.arp_notify': '1',
      'net.ipv4.conf.all.send_redirects': '0',
      'net.ipv4.conf.default.send_redirects': '0',
      'net.ipv4.conf.all.accept_redirects': '0',
      'net.ipv4.conf.default.accept_redirects': '0',
      ...(input.ipv6 ? { 'net.ipv6.conf.all.disable_ipv6': '1' } : {}),
    },
    restart: 'unless-stopped',
    pids: 8192,
    memoryBytes: MEMORY_BYTES,
    stopTimeoutSeconds: 5,
  } as const satisfies Partial<ContainerSpec>;
  return {
    ...base,
    name: names.vpnClient(node.name, node.scope),
    labels: {
      ...labelsFor({ kind: 'vpn-client', scope: node.scope, node: node.name }),
      [SETTINGS_LABEL]: settingsHash({ ...base, uplink }),
    },
    networks: [
      { name: uplink.network, ...(uplink.address ? { address: uplink.address } : {}) },
      ...slots.map((slot) => ({ name: slot.network, address: slot.client })),
    ],
  };
}

function settingsHash(settings: unknown): string {
  return createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 16);
}
