import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Cidr } from '../../../src/core/net/ipv4.ts';
import { renderClientConfig } from '../../../src/portal/client-config.ts';
import {
  nodeCapacity,
  renderClientEntry,
  renderServerConfig,
} from '../../../src/portal/server-config.ts';
import { renderStaticKey } from '../../../src/portal/static-key.ts';

const GOLDEN = path.join(import.meta.dirname, '../../golden/portal');
const golden = (name: string): string => path.join(GOLDEN, name);
const subnet = '10.76.0.0/16' as Cidr;

describe('configuration of the VPN server', () => {
  it('is this text over udp', async () => {
    await expect(renderServerConfig({ subnet, port: 1194, protocol: 'udp' })).toMatchFileSnapshot(
      golden('server-udp.conf'),
    );
  });

  it('is this text over tcp', async () => {
    await expect(renderServerConfig({ subnet, port: 443, protocol: 'tcp' })).toMatchFileSnapshot(
      golden('server-tcp.conf'),
    );
  });

  it('never lets openvpn pass packets by itself, past the rules', () => {
    expect(renderServerConfig({ subnet, port: 1194, protocol: 'udp' })).not.toMatch(
      /client-to-client|duplicate-cn|push "(route|redirect)/,
    );
  });

  it('fixes the address of a client by a file of its own', () => {
    expect(renderClientEntry(subnet, 10)).toBe('ifconfig-push 10.76.0.10 255.255.0.0\n');
    expect(renderClientEntry(subnet, 300)).toBe('ifconfig-push 10.76.1.44 255.255.0.0\n');
  });

  it.each([
    ['10.76.0.0/28', 5],
    ['10.76.0.0/24', 245],
    ['10.76.0.0/16', 65_525],
  ])('%s holds %i nodes', (text, count) => {
    expect(nodeCapacity(text as Cidr)).toBe(count);
  });
});

describe('client config', () => {
  const recorded = JSON.parse(
    readFileSync(
      path.join(import.meta.dirname, '../../fixtures/eduvpn-v3/08-connect.json'),
      'utf8',
    ),
  ) as readonly { readonly step: string; readonly response: { readonly body: string } }[];

  it.each([
    ['connect: only profile_id', false],
    ['prefer_tcp=yes', true],
  ])('is what eduVPN renders, byte for byte: %s', (step, prefersTcp) => {
    const body = recorded.find((exchange) => exchange.step.startsWith(step))?.response.body ?? '';
    const inline = (name: string): string =>
      new RegExp(`<${name}>\n([\\s\\S]*?)\n</${name}>`).exec(body)?.[1] ?? '';
    const text = renderClientConfig({
      portalUrl: 'https://vpn.example.test/vpn-user-portal/',
      profile: { id: 'default', displayName: 'Default' },
      expiresAt: new Date('2027-02-20T00:52:03Z'),
      authority: inline('ca'),
      certificate: inline('cert'),
      privateKey: inline('key'),
      staticKey: inline('tls-crypt'),
      remotes: [
        { host: 'vpn.example.test', port: 1194, protocol: 'udp' },
        { host: 'vpn.example.test', port: 1194, protocol: 'tcp' },
      ],
      prefersTcp,
    });
    expect(text).toBe(body);
  });
});

describe('static key', () => {
  it('has sixteen lines of sixteen bytes between its comments', () => {
    const text = renderStaticKey(new Uint8Array(256).fill(0xab));
    expect(text.split('\n')).toHaveLength(21);
    expect(text.split('\n')[4]).toBe('ab'.repeat(16));
    expect(() => renderStaticKey(new Uint8Array(255))).toThrow(RangeError);
  });
});
