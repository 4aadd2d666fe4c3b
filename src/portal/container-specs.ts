import type { ContainerSpec, NetworkSpec, PublishedPort } from '../core/engine/engine.ts';
import { BRIDGE_PREFIX, bridgeName, labelsFor, names, type Scope } from '../core/labels.ts';
import { addressAt, type Cidr } from '../core/net/ipv4.ts';
import { SERVER_FOLDERS } from './server-config.ts';
import { type EmbeddedPortalSettings, type PortalPlacement, portalPaths } from './settings.ts';
import { serverProcesses } from './test-modes.ts';

/** Label with a hash of what a container was made from: another hash, another container. */
export const SETTINGS_LABEL = 'v6.settings';

/** Node with a few thousand sessions takes a fifth of it. */
const PORTAL_MEMORY_BYTES = 512 * 2 ** 20;
/** Two processes of OpenVPN, each far below 100 MB with some hundred clients. */
const VPN_SERVER_MEMORY_BYTES = 512 * 2 ** 20;

export interface ContainerInput {
  readonly scope: Scope;
  readonly image: string;
  readonly settings: EmbeddedPortalSettings;
  readonly placement: PortalPlacement;
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Content of the label SETTINGS_LABEL. */
  readonly fingerprint: string;
}

/** The portal's container: no capability, a read-only root, its two folders at the paths they have on the host. */
export function portalContainer(input: ContainerInput): ContainerSpec {
  const { scope, settings, placement, owner } = input;
  const { publish } = placement;
  return {
    name: names.portal(scope),
    image: input.image,
    labels: { ...labelsFor({ kind: 'portal', scope }), [SETTINGS_LABEL]: input.fingerprint },
    command: ['portal', 'run', '--settings', portalPaths(settings).settings],
    user: `${owner.uid}:${owner.gid}`,
    networks: [{ name: placement.network, address: placement.portalAddress }],
    mounts: [
      { source: settings.dataDir, target: settings.dataDir },
      { source: settings.runDir, target: settings.runDir, isMadeWhenMissing: true },
    ],
    // A writable home for what the runtime caches. Without SHELL oclif asks the password file, which has no such user.
    env: { HOME: '/tmp', SHELL: '/bin/false' },
    tmpfs: ['/tmp'],
    capabilities: [],
    readOnlyRoot: true,
    restart: 'unless-stopped',
    pids: 256,
    memoryBytes: PORTAL_MEMORY_BYTES,
    stopTimeoutSeconds: 5,
    publish: publishPort(publish?.address, publish?.http, settings.listen.port, 'tcp'),
  };
}

/** The VPN server's container: NET_ADMIN and the tun device, and of the portal's files only its own. */
export function vpnServerContainer(input: ContainerInput): ContainerSpec {
  const { scope, settings, placement, owner } = input;
  const { publish } = placement;
  const paths = portalPaths(settings);
  const processes = serverProcesses(settings);
  const protocols = processes.map(({ protocol }) => protocol);
  return {
    name: names.vpnServer(scope),
    image: input.image,
    labels: { ...labelsFor({ kind: 'vpn-server', scope }), [SETTINGS_LABEL]: input.fingerprint },
    entrypoint: ['/usr/bin/tini', '--', '/usr/local/lib/v6/vpn-server.sh'],
    networks: [{ name: placement.network, address: placement.vpnServerAddress }],
    mounts: [
      { source: paths.vpnServer, target: SERVER_FOLDERS.config, readOnly: true },
      { source: paths.vpnRun, target: SERVER_FOLDERS.run, isMadeWhenMissing: true },
    ],
    env: {
      VPN_NET: settings.subnet,
      VPN_PORT: String(settings.vpn.port),
      // A set of nft where there are two.
      VPN_PROTOCOL: protocols.length === 1 ? (protocols[0] ?? '') : `{ ${protocols.join(', ')} }`,
      VPN_CONFIGS: processes.map(({ configName }) => configName).join(' '),
    },
    tmpfs: ['/tmp', '/run/lock'],
    devices: ['/dev/net/tun'],
    // Where the files belong to a user, root needs DAC_OVERRIDE to read them.
    capabilities: owner.uid === 0 ? ['NET_ADMIN'] : ['NET_ADMIN', 'DAC_OVERRIDE'],
    readOnlyRoot: true,
    sysctls: {
      'net.ipv4.ip_forward': '1',
      // Two clients on one tunnel device: the kernel would tell each to talk to the other directly.
      'net.ipv4.conf.all.send_redirects': '0',
      'net.ipv4.conf.default.send_redirects': '0',
      'net.ipv6.conf.all.disable_ipv6': '1',
    },
    restart: 'unless-stopped',
    pids: 64,
    memoryBytes: VPN_SERVER_MEMORY_BYTES,
    stopTimeoutSeconds: 5,
    publish: protocols.flatMap((protocol) =>
      publishPort(publish?.address, publish?.vpn, settings.vpn.port, protocol),
    ),
  };
}

function publishPort(
  hostAddress: string | undefined,
  host: number | undefined,
  container: number,
  protocol: 'tcp' | 'udp',
): readonly PublishedPort[] {
  if (hostAddress === undefined || host === undefined) return [];
  return [{ container, host, hostAddress, protocol }];
}

/** The network of a portal that was given none. */
export function ownNetwork(scope: Scope, subnet: Cidr): NetworkSpec {
  const name = names.uplink(scope, 'portal');
  return {
    name,
    labels: labelsFor({ kind: 'uplink', scope }),
    subnet,
    gateway: addressAt(subnet, 1),
    bridge: bridgeName(BRIDGE_PREFIX.uplink, name),
    form: 'uplink',
  };
}
