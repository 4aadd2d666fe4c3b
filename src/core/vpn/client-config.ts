import { createPrivateKey, X509Certificate } from 'node:crypto';
import { V6Error } from '../errors.ts';
import { type Cidr, containsAddress, isIpv4 } from '../net/ipv4.ts';
import { type ClientFile, readClientFile } from './client-file.ts';
import type { Remote } from './tunnel.ts';

/** One `remote` line of a client config: a host name or address that is not resolved yet. */
export interface NamedRemote {
  readonly host: string;
  /** 1–65535 */
  readonly port: number;
  readonly protocol: 'udp' | 'tcp';
}

/** A client config (`.ovpn`) that passed the allow-list. Holds a private key: never log it. */
export interface ClientConfig {
  /** In the order of the file, at least one. */
  readonly remotes: readonly NamedRemote[];
  /** PEM, one certificate or more. */
  readonly ca: string;
  /** PEM of our certificate, and of intermediates where the file has them. */
  readonly cert: string;
  /** PEM of the private key. */
  readonly key: string;
  readonly staticKey:
    | { readonly use: 'tls-crypt'; readonly key: string }
    | { readonly use: 'tls-auth'; readonly key: string; readonly direction: 0 | 1 | undefined }
    | undefined;
  readonly settings: ClientSettings;
  /** Of the first certificate in `cert`. */
  readonly certificate: { readonly notBefore: Date; readonly notAfter: Date };
}

/** What both ends must agree on, kept as the portal wrote it; all else is ours to choose. */
export interface ClientSettings {
  readonly tlsVersionMin?: string;
  readonly tlsCipher?: string;
  readonly tlsCiphersuites?: string;
  readonly dataCiphers?: string;
  readonly cipher?: string;
  readonly auth?: string;
  readonly renegSec?: string;
  readonly serverPollTimeout?: string;
  readonly verifyX509Name?: string;
  readonly remoteRandom?: true;
}

/**
 * Parses the text of a client config. Everything in it must be on the allow-list of client-directives.ts.
 * Throws V6_VPN_CONFIG_INVALID naming line and directive; never with a key in the message.
 */
export function parseClientConfig(text: string): ClientConfig {
  const file = readClientFile(text);
  const ca = block(file, 'ca');
  const cert = block(file, 'cert');
  const key = block(file, 'key');
  const remotes = remotesOf(file);
  if (remotes.length === 0) throw missing('a remote');
  const certificate = certificateOf(cert);
  checkKey(certificate, key);
  const { verifyX509Name, ...settings } = settingsOf(file);
  return {
    remotes,
    ca,
    cert,
    key,
    staticKey: staticKeyOf(file),
    settings: verifyX509Name === undefined ? settings : { ...settings, verifyX509Name },
    certificate: { notBefore: certificate.validFromDate, notAfter: certificate.validToDate },
  };
}

/** True when the certificate has ended at `now`: connecting with it cannot work. */
export function isExpired(config: ClientConfig, now: Date): boolean {
  return config.certificate.notAfter.getTime() <= now.getTime();
}

/** A remote inside `vpn_subnet` would be routed into the tunnel that it carries. Throws V6_NET_OVERLAP. */
export function checkRemotes(remotes: readonly Remote[], subnet: Cidr): void {
  const inside = remotes.find((remote) => containsAddress(subnet, remote.address));
  if (inside === undefined) return;
  throw new V6Error(
    'V6_NET_OVERLAP',
    `The VPN server's address ${inside.address} lies inside vpn_subnet ${subnet}`,
    {
      hints: [
        'vpn_subnet is the range inside the tunnel: correct it in the node configuration.',
        'If it is right, the portal must give its VPN server an address outside that range.',
      ],
      details: { remote: inside.address, vpnSubnet: subnet },
    },
  );
}

/** The remotes that are addresses already, as a file has them that we rendered. */
export function literalRemotes(config: ClientConfig): readonly Remote[] {
  return config.remotes.flatMap(({ host, port, protocol }) =>
    isIpv4(host) ? [{ address: host, port, protocol }] : [],
  );
}

const DEFAULT_PORT = 1194; // IANA; openvpn(8) --port

function remotesOf(file: ClientFile): readonly NamedRemote[] {
  const fallback = file.last('proto')?.value ?? 'udp';
  return file.all('remote').map(({ line, value }) => {
    const [host = '', port = String(DEFAULT_PORT), protocol = fallback] = value.split(' ');
    const number = Number(port);
    if (number < 1 || number > 65535 || (/^[\d.]+$/.test(host) && !isIpv4(host))) {
      throw new V6Error(
        'V6_VPN_CONFIG_INVALID',
        `Line ${line} of the client config has an impossible remote: ${host} ${port}`,
        { details: { line, directive: 'remote' } },
      );
    }
    return { host, port: number, protocol: protocol.startsWith('tcp') ? 'tcp' : 'udp' };
  });
}

function settingsOf(file: ClientFile): ClientSettings {
  const value = (...words: Parameters<ClientFile['last']>[0][]): string | undefined =>
    words.map((word) => file.last(word)?.value).find((found) => found !== undefined);
  const found = {
    tlsVersionMin: value('tls-version-min'),
    tlsCipher: value('tls-cipher'),
    tlsCiphersuites: value('tls-ciphersuites'),
    // `ncp-ciphers` is the name that 2.4 had for `data-ciphers`; 2.6 still knows it.
    dataCiphers: value('data-ciphers', 'ncp-ciphers'),
    cipher: value('cipher'),
    auth: value('auth'),
    renegSec: value('reneg-sec'),
    serverPollTimeout: value('server-poll-timeout', 'connect-timeout'),
    verifyX509Name: value('verify-x509-name'),
    remoteRandom: file.last('remote-random') === undefined ? undefined : (true as const),
  };
  return Object.fromEntries(Object.entries(found).filter(([, setting]) => setting !== undefined));
}

function staticKeyOf(file: ClientFile): ClientConfig['staticKey'] {
  const crypt = file.block('tls-crypt');
  const auth = file.block('tls-auth');
  if (crypt !== undefined && auth !== undefined) {
    throw new V6Error(
      'V6_VPN_CONFIG_INVALID',
      'The client config has both tls-crypt and tls-auth: only one can be meant',
      { details: { directive: 'tls-auth' } },
    );
  }
  if (crypt !== undefined) return { use: 'tls-crypt', key: crypt };
  if (auth === undefined) return undefined;
  const direction = file.last('key-direction')?.value;
  return {
    use: 'tls-auth',
    key: auth,
    direction: direction === undefined ? undefined : direction === '1' ? 1 : 0,
  };
}

function block(file: ClientFile, name: 'ca' | 'cert' | 'key'): string {
  const text = file.block(name);
  if (text === undefined) throw missing(`an inline <${name}> block`);
  return text;
}

function missing(what: string): V6Error {
  return new V6Error('V6_VPN_CONFIG_INVALID', `The client config lacks ${what}`, {
    hints: ['Fetch a new one: v6 node vpn renew --force'],
    details: { missing: what },
  });
}

function certificateOf(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new V6Error(
      'V6_VPN_CONFIG_INVALID',
      'The certificate in the client config cannot be read',
      { cause: error, details: { directive: 'cert' } },
    );
  }
}

/** Only the same pair can finish a handshake; a file that was put together from two would look refused by the server. */
function checkKey(certificate: X509Certificate, pem: string): void {
  let belongs: boolean;
  try {
    belongs = certificate.checkPrivateKey(createPrivateKey(pem));
  } catch {
    // No cause: its message may quote what it could not read.
    throw new V6Error('V6_VPN_CONFIG_INVALID', 'The key in the client config cannot be read', {
      details: { directive: 'key' },
    });
  }
  if (belongs) return;
  throw new V6Error(
    'V6_VPN_CONFIG_INVALID',
    'The key in the client config does not belong to its certificate',
    { details: { directive: 'key' } },
  );
}
