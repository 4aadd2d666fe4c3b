import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseCidr } from '../../../../src/core/net/ipv4.ts';
import { isExpired, parseClientConfig } from '../../../../src/core/vpn/client-config.ts';
import { renderClientConfig } from '../../../../src/core/vpn/client-render.ts';
import type { Remote } from '../../../../src/core/vpn/tunnel.ts';
import { makePair, type Pair, portalFile, STATIC_KEY } from '../../../support/client-files.ts';

const SUBNET = parseCidr('10.76.0.0/16', 'vpn_subnet');
const NOT_AFTER = new Date('2031-01-01T00:00:00Z');
const REMOTE: Remote = { address: '192.0.2.7' as Remote['address'], port: 1194, protocol: 'udp' };
let pair: Pair;

beforeAll(async () => {
  pair = await makePair(NOT_AFTER);
});

function code(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return `${(error as { code?: string }).code}: ${(error as Error).message}`;
  }
  return 'no error';
}

describe('parseClientConfig', () => {
  it('reads the file of a 3.x portal', () => {
    const config = parseClientConfig(portalFile(pair));
    expect(config.remotes).toEqual([
      { host: 'vpn.example.test', port: 1194, protocol: 'udp' },
      { host: 'vpn.example.test', port: 1194, protocol: 'tcp' },
    ]);
    expect(config.settings).toEqual({
      tlsVersionMin: '1.3',
      dataCiphers: 'AES-256-GCM:CHACHA20-POLY1305',
      renegSec: '0',
      serverPollTimeout: '10',
    });
    expect(config.staticKey).toEqual({ use: 'tls-crypt', key: `${STATIC_KEY}\n` });
    expect(config.certificate.notAfter).toEqual(NOT_AFTER);
  });

  it('reads every file that a real 3.4.1 portal was seen to send, with a key of ours in it', () => {
    const steps = JSON.parse(
      readFileSync('test/fixtures/eduvpn-v3/08-connect.json', 'utf8'),
    ) as readonly { readonly response: { readonly body: unknown } }[];
    // The recordings hold no keys; certificate and key are put in their places.
    const files = steps.flatMap(({ response: { body } }) =>
      typeof body === 'string' && body.includes('\nremote ')
        ? [
            body
              .replace(/(<cert>\n)[\s\S]*(\n<\/cert>)/, `$1${pair.cert.trim()}$2`)
              .replace(/(<key>\n)[\s\S]*(\n<\/key>)/, `$1${pair.key.trim()}$2`)
              .replace(/-----BEGIN OpenVPN[\s\S]*V1-----/, STATIC_KEY),
          ]
        : [],
    );
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) {
      const { remotes } = parseClientConfig(file);
      expect(remotes.map(({ host }) => host)).toContain('vpn.example.test');
      expect(remotes.map(({ protocol }) => protocol)).toContain('udp');
    }
  });

  it('reads the directives of a 2.x portal, CRLF line ends, a byte order mark and comments', () => {
    const text = portalFile(pair, undefined, [
      'ncp-ciphers AES-256-GCM',
      'cipher AES-256-GCM',
      'tls-cipher TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384:TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384',
      '; a comment',
      'explicit-exit-notify   1 # told to leave',
      'verify-x509-name "vpn.example.test" name',
    ])
      .replace('data-ciphers AES-256-GCM:CHACHA20-POLY1305\n', '')
      .replaceAll('\n', '\r\n');
    const { settings } = parseClientConfig(`\uFEFF${text}`);
    expect(settings.dataCiphers).toBe('AES-256-GCM');
    expect(settings.verifyX509Name).toBe('vpn.example.test name');
  });

  it('knows when the certificate has ended', () => {
    const config = parseClientConfig(portalFile(pair));
    expect(isExpired(config, new Date(NOT_AFTER.getTime() - 1))).toBe(false);
    expect(isExpired(config, NOT_AFTER)).toBe(true);
  });

  it.each([
    'up /tmp/evil.sh',
    'plugin /tmp/evil.so',
    'script-security 2',
    'route 0.0.0.0 0.0.0.0',
    'management 127.0.0.1 7505',
    'http-proxy proxy.example.test 8080',
    'auth-user-pass /etc/passwd',
    '--up /tmp/evil.sh',
    'config /etc/other.conf',
    'dev tap',
    'verify-x509-name "a b"',
    'remote-cert-tls client',
  ])('refuses the line "%s" with its number and directive', (line) => {
    const text = portalFile(pair, undefined, [line]);
    const number = text.split('\n').indexOf(line) + 1;
    const [word = ''] = line.split(' ');
    const said = code(() => parseClientConfig(text));
    expect(said).toContain('V6_VPN_CONFIG_INVALID');
    expect(said).toContain(`Line ${number} `);
    expect(said).toContain(word);
  });

  it.each([
    ['no remote', (text: string) => text.replace(/^remote .*$/gm, '')],
    ['no key', (text: string) => text.replace(/<key>[\s\S]*<\/key>\n/, '')],
    ['no certificate', (text: string) => text.replace(/<cert>[\s\S]*<\/cert>\n/, '')],
    ['an unfinished block', (text: string) => text.replace('</key>', '')],
    ['a block twice', (text: string) => `${text}\n<ca>\n${pair.cert}\n</ca>`],
    ['an unknown block', (text: string) => `${text}\n<auth-user-pass>\na\nb\n</auth-user-pass>`],
    ['a web page', () => '<html><body>log in</body></html>'],
    ['nothing', () => ''],
    ['a port that is none', (text: string) => text.replace('1194 udp', '70000 udp')],
    [
      'an address that is none',
      (text: string) => text.replace('vpn.example.test 1194 udp', '1.2.3 1'),
    ],
    ['a file without end', (text: string) => text + '#'.repeat(70_000)],
    ['a certificate that is none', (text: string) => text.replace(/(<cert>\n.*\n)../, '$1AA')],
  ])('refuses a file with %s', (_, change) => {
    expect(code(() => parseClientConfig(change(portalFile(pair))))).toContain(
      'V6_VPN_CONFIG_INVALID',
    );
  });

  it('refuses a key that is none or belongs to another certificate', async () => {
    const other = await makePair(NOT_AFTER);
    const mixed = code(() => parseClientConfig(portalFile({ cert: pair.cert, key: other.key })));
    expect(mixed).toContain('does not belong to its certificate');
    const garbled = pair.key.replace(/^MC4C/m, 'AAAA');
    expect(code(() => parseClientConfig(portalFile({ cert: pair.cert, key: garbled })))).toContain(
      'The key in the client config cannot be read',
    );
  });

  it('never shows the key in an error', () => {
    const secret = pair.key.split('\n')[1] ?? '';
    for (const broken of ['</key>', '<key>', '-----BEGIN PRIVATE KEY-----']) {
      const said = code(() => parseClientConfig(portalFile(pair).replace(broken, '')));
      expect(said).toContain('V6_VPN_CONFIG_INVALID');
      expect(said).not.toContain(secret.slice(0, 20));
    }
  });
});

describe('renderClientConfig', () => {
  it('writes the golden file', () => {
    const config = parseClientConfig(portalFile(pair));
    const rendered = renderClientConfig(
      { ...config, ca: 'CA\n', cert: 'CERT\n', key: 'KEY\n' },
      { resolvedRemotes: [REMOTE], subnet: SUBNET },
    );
    expect(rendered).toBe(readFileSync('test/golden/client-config.ovpn', 'utf8'));
  });

  it('gives a file that means the same when it is read again', () => {
    const remote = fc.record({
      address: fc.ipV4().filter((ip) => !ip.startsWith('10.76.')) as fc.Arbitrary<
        Remote['address']
      >,
      port: fc.integer({ min: 1, max: 65_535 }),
      protocol: fc.constantFrom('udp' as const, 'tcp' as const),
    });
    const extras = fc.subarray([
      'cipher AES-256-GCM',
      'auth SHA256',
      'verify-x509-name vpn.example.test name',
      'remote-random',
      'tls-ciphersuites TLS_AES_256_GCM_SHA384',
      'persist-tun',
    ]);
    fc.assert(
      fc.property(fc.array(remote, { minLength: 1, maxLength: 6 }), extras, (remotes, lines) => {
        const config = parseClientConfig(portalFile(pair, undefined, lines));
        const text = renderClientConfig(config, { resolvedRemotes: remotes, subnet: SUBNET });
        expect(parseClientConfig(text)).toEqual({
          ...config,
          remotes: remotes.map(({ address, port, protocol }) => ({
            host: address,
            port,
            protocol,
          })),
        });
      }),
      { numRuns: 50 },
    );
  });

  it('keeps tls-auth and its direction', () => {
    const text = portalFile(pair, undefined, ['key-direction 1']).replaceAll(
      'tls-crypt>',
      'tls-auth>',
    );
    const rendered = renderClientConfig(parseClientConfig(text), {
      resolvedRemotes: [REMOTE],
      subnet: SUBNET,
    });
    expect(parseClientConfig(rendered).staticKey).toEqual({
      use: 'tls-auth',
      key: `${STATIC_KEY}\n`,
      direction: 1,
    });
  });

  it('refuses a remote inside vpn_subnet, and no remote at all', () => {
    const config = parseClientConfig(portalFile(pair));
    const inside = { ...REMOTE, address: '10.76.0.1' as Remote['address'] };
    const render = (resolvedRemotes: readonly Remote[]) => () =>
      renderClientConfig(config, { resolvedRemotes, subnet: SUBNET });
    expect(code(render([REMOTE, inside]))).toContain('V6_NET_OVERLAP');
    expect(code(render([]))).toContain('V6_VPN_SERVER_UNREACHABLE');
  });
});
