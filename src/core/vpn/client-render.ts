import { V6Error } from '../errors.ts';
import type { Cidr } from '../net/ipv4.ts';
import { type ClientConfig, type ClientSettings, checkRemotes } from './client-config.ts';
import type { Remote } from './tunnel.ts';

export interface RenderOptions {
  /** Already resolved, in order of preference: the client's filter allows no DNS. At least one. */
  readonly resolvedRemotes: readonly Remote[];
  /** `vpn_subnet`: no remote may lie inside. */
  readonly subnet: Cidr;
}

/**
 * The client config as we hand it to openvpn: the portal's keys and ciphers, everything else ours. What needs paths in
 * the container (management socket) or the pushed options (filters) is added there. It passes parseClientConfig again.
 * Throws V6_NET_OVERLAP for a remote inside `subnet`, V6_VPN_SERVER_UNREACHABLE without any remote.
 */
export function renderClientConfig(config: ClientConfig, options: RenderOptions): string {
  const { resolvedRemotes, subnet } = options;
  if (resolvedRemotes.length === 0) {
    const hosts = config.remotes.map((remote) => remote.host).join(', ');
    throw new V6Error('V6_VPN_SERVER_UNREACHABLE', `No IPv4 address for the VPN server ${hosts}`, {
      hints: [`Check that this machine can resolve the name: getent ahostsv4 ${hosts}`],
    });
  }
  checkRemotes(resolvedRemotes, subnet);
  return [
    '# Rendered by v6 from the file of the portal; replaced at the next renewal.',
    ...OWN_LINES,
    ...settingLines(config.settings),
    ...resolvedRemotes.map(
      (remote) => `remote ${remote.address} ${remote.port} ${remote.protocol}`,
    ),
    ...inline('ca', config.ca),
    ...inline('cert', config.cert),
    ...inline('key', config.key),
    ...staticLines(config.staticKey),
    '',
  ].join('\n');
}

/**
 * Chosen by us. Buffers and fast-io: the defaults lose packets at speed. hand-window and connect-retry: a refused
 * certificate shows only as a handshake that never ends, so the window is the time until we know (openvpn(8)).
 */
const OWN_LINES = [
  'client',
  'dev tun0',
  'nobind',
  'persist-key',
  'persist-tun',
  'remote-cert-tls server',
  'verb 3',
  'hand-window 12',
  'connect-retry 1 8',
  'auth-nocache',
  'sndbuf 1048576',
  'rcvbuf 1048576',
  'fast-io',
] as const;

function settingLines(settings: ClientSettings): readonly string[] {
  return [
    ...line('server-poll-timeout', settings.serverPollTimeout),
    ...line('tls-version-min', settings.tlsVersionMin),
    ...line('tls-cipher', settings.tlsCipher),
    ...line('tls-ciphersuites', settings.tlsCiphersuites),
    ...line('data-ciphers', settings.dataCiphers),
    ...line('cipher', settings.cipher),
    ...line('auth', settings.auth),
    ...line('reneg-sec', settings.renegSec),
    ...line('verify-x509-name', settings.verifyX509Name),
    ...(settings.remoteRandom ? ['remote-random'] : []),
  ];
}

function staticLines(key: ClientConfig['staticKey']): readonly string[] {
  if (key === undefined) return [];
  if (key.use === 'tls-crypt') return inline('tls-crypt', key.key);
  return [
    ...(key.direction === undefined ? [] : [`key-direction ${key.direction}`]),
    ...inline('tls-auth', key.key),
  ];
}

function inline(name: string, pem: string): readonly string[] {
  return [`<${name}>`, pem.trimEnd(), `</${name}>`];
}

function line(word: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [`${word} ${value}`];
}
