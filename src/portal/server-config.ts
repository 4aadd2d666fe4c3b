import { addressAt, type Cidr, type Ipv4, netmaskOf, rangeOf } from '../core/net/ipv4.ts';
import { nodeOffsets } from './settings.ts';

/** Where the VPN server's container finds its files. */
export const SERVER_FOLDERS = { config: '/vpn', run: '/run/vpn' } as const;

/** Ping interval and time-out in seconds: a dead end of the tunnel is noticed within 8 s by a client, 16 s by the server. */
export const KEEPALIVE = { intervalSeconds: 2, timeoutSeconds: 8 } as const;

export interface ServerConfigInput {
  readonly subnet: Cidr;
  readonly port: number;
  readonly protocol: 'udp' | 'tcp';
  /** Default tun0. */
  readonly device?: string;
  /** Default management.sock. */
  readonly socketName?: string;
  /** It gives out addresses of the subnet by itself, and tells clients that the rest of this network is behind it too. */
  readonly pool?: { readonly network: Cidr } | undefined;
  /** Further lines, in the ways of other portals. */
  readonly pushes?: readonly string[];
}

/**
 * server.conf of openvpn 2.6. Option names: openvpn(8). Forwarding is the kernel's, because `client-to-client` passes no
 * filter; fixed addresses come from one file per certificate, and `ccd-exclusive` makes that file the licence to connect:
 * without it the client gets AUTH_FAILED at once, so a revocation needs no list that could expire.
 */
export function renderServerConfig(input: ServerConfigInput): string {
  const {
    subnet,
    port,
    protocol,
    device = 'tun0',
    socketName = 'management.sock',
    pool,
    pushes = [],
  } = input;
  const network = addressAt(subnet, 0);
  const { first, last } = nodeOffsets(subnet);
  return `${[
    '# Written by v6; changes are lost at the next start of the portal.',
    `port ${port}`,
    // IPv4 only: the rules around the tunnel know no IPv6.
    `proto ${protocol === 'udp' ? 'udp4' : 'tcp4-server'}`,
    `dev ${device}`,
    'dev-type tun',
    'topology subnet',
    // No pool: whoever has no fixed address has none.
    `server ${network} ${netmaskOf(subnet)}${pool === undefined ? ' nopool' : ''}`,
    ...(pool === undefined
      ? []
      : [`push "route ${addressAt(pool.network, 0)} ${netmaskOf(pool.network)}"`]),
    ...pushes,
    `max-clients ${last - first + 1}`,
    `client-config-dir ${SERVER_FOLDERS.config}/ccd`,
    'ccd-exclusive',
    `ca ${SERVER_FOLDERS.config}/ca.crt`,
    `cert ${SERVER_FOLDERS.config}/server.crt`,
    `key ${SERVER_FOLDERS.config}/server.key`,
    `tls-crypt ${SERVER_FOLDERS.config}/tls-crypt.key`,
    'dh none',
    'remote-cert-tls client',
    'tls-version-min 1.3',
    'data-ciphers AES-256-GCM:CHACHA20-POLY1305',
    // Clients are told never to start one: a new data key every ten hours, as eduVPN has it.
    'reneg-sec 36000',
    `keepalive ${KEEPALIVE.intervalSeconds} ${KEEPALIVE.timeoutSeconds}`,
    'persist-key',
    'persist-tun',
    // The defaults lose packets: 24,055 drops in a 60 MB transfer, none with 1 MiB (measured).
    'sndbuf 1048576',
    'rcvbuf 1048576',
    ...(protocol === 'udp'
      ? ['fast-io', 'explicit-exit-notify 1', 'push "explicit-exit-notify 1"']
      : ['tcp-nodelay']),
    'script-security 0',
    `management ${SERVER_FOLDERS.run}/${socketName} unix`,
    // 3 would log each question on the management socket.
    'verb 2',
  ].join('\n')}\n`;
}

/** One client's file in `ccd` where the VPN server has a pool: it may connect, and no more is said. */
export const POOL_ENTRY = '# any address\n';

/** One client's file in `ccd`, named after its certificate's common name: its fixed address. */
export function renderClientEntry(subnet: Cidr, offset: number): string {
  return `ifconfig-push ${addressAt(subnet, offset)} ${netmaskOf(subnet)}\n`;
}

/** The VPN server's own address in the tunnel. */
export function serverAddress(subnet: Cidr): Ipv4 {
  return addressAt(subnet, 1);
}

/** How many nodes the subnet holds. */
export function nodeCapacity(subnet: Cidr): number {
  const { start, end } = rangeOf(subnet);
  const { first } = nodeOffsets(subnet);
  return Math.max(0, end - 1 - (start + first) + 1);
}
