import 'reflect-metadata';
import { randomBytes, type webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const ED25519 = { name: 'Ed25519' };

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate and its key, self-signed: enough for whoever only reads them. */
export async function makePair(notAfter: Date, notBefore = new Date(0)): Promise<Pair> {
  const keys = (await crypto.subtle.generateKey(ED25519, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(8).toString('hex').replace(/^./, '1'),
    name: 'OU=default, CN=node',
    notBefore,
    notAfter,
    signingAlgorithm: ED25519,
    keys,
  });
  const der = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    cert: certificate.toString('pem'),
    key: x509.PemConverter.encode(der, 'PRIVATE KEY'),
  };
}

export const STATIC_KEY = [
  '-----BEGIN OpenVPN Static key V1-----',
  ...Array.from({ length: 16 }, (_, i) => i.toString(16).padStart(2, '0').repeat(16)),
  '-----END OpenVPN Static key V1-----',
].join('\n');

/** A client config with the lines and the order of eduVPN's portal 3.x. */
export function portalFile(
  pair: Pair,
  remotes: readonly string[] = ['vpn.example.test 1194 udp', 'vpn.example.test 1194 tcp'],
  extra: readonly string[] = [],
): string {
  return [
    '# Portal: https://vpn.example.test/vpn-user-portal/',
    '# Profile: Default (default)',
    '# Expires: 2027-02-20T00:52:03+00:00',
    '',
    'dev tun',
    'client',
    'nobind',
    'remote-cert-tls server',
    'verb 3',
    'server-poll-timeout 10',
    'tls-version-min 1.3',
    'data-ciphers AES-256-GCM:CHACHA20-POLY1305',
    'reneg-sec 0',
    ...extra,
    `<ca>\n${pair.cert.trim()}\n</ca>`,
    `<cert>\n${pair.cert.trim()}\n</cert>`,
    `<key>\n${pair.key.trim()}\n</key>`,
    `<tls-crypt>\n#\n# 2048 bit OpenVPN static key\n#\n${STATIC_KEY}\n</tls-crypt>`,
    ...remotes.map((remote) => `remote ${remote}`),
  ].join('\n');
}
