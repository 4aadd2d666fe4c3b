import { describe, expect, it } from 'vitest';
import { renderNodeVpn } from '../../../../src/cli/render/node-vpn.ts';
import type { Ipv4 } from '../../../../src/core/net/ipv4.ts';
import type { TunnelState } from '../../../../src/core/vpn/tunnel.ts';
import { vpnReport } from '../../../../src/node/vpn/report.ts';
import { DISCONNECTED_VERDICT, TRYING_VERDICT } from '../../../../src/node/vpn/verdict.ts';

const UP: TunnelState = {
  kind: 'connected',
  since: new Date('2030-01-01T00:00:00Z'),
  address: '10.76.0.5' as Ipv4,
  remote: '192.0.2.7:1194 udp',
};
const CONNECTED = {
  ...TRYING_VERDICT,
  state: 'connected',
  rung: 'existing',
  vpnAddress: '10.76.0.5',
} as const;
const NOTHING = { certificate: undefined, renewsAt: undefined, lastError: undefined };
const packets = (n: number) => ({ packets: n, bytes: n * 60 });

describe('the report on a tunnel', () => {
  it.each([
    ['tunnel', {}],
    ['tunnel', { bytes: { received: 0, sent: 500 } }],
    ['data', { bytes: { received: 1, sent: 500 } }],
    ['data', { bytes: { received: 1, sent: 5 }, counters: { 'accept-from-vpn': packets(0) } }],
    ['peer', { counters: { 'accept-from-vpn': packets(1) } }],
    ['peer', { counters: { 'established-from-vpn': packets(3) } }],
  ] as const)('says %s where there is evidence for that', (level, client) => {
    const verdict = CONNECTED;
    expect(vpnReport({ ...NOTHING, verdict, tunnel: UP, client }).level).toBe(level);
  });

  it('claims nothing of a tunnel that is down', () => {
    const client = { bytes: { received: 9, sent: 9 }, counters: { 'accept-from-vpn': packets(1) } };
    const report = vpnReport({
      ...NOTHING,
      verdict: DISCONNECTED_VERDICT,
      tunnel: { kind: 'off' },
      client,
    });
    expect(report).toMatchObject({ level: 'none', bytes: null, remote: null });
    expect(renderNodeVpn(report)).toBe('VPN: disconnected on request');
  });

  it('is shown with what is known', () => {
    const report = vpnReport({
      verdict: CONNECTED,
      tunnel: UP,
      client: { bytes: { received: 10, sent: 20 } },
      certificate: {
        notBefore: new Date('2030-01-01T00:00:00Z'),
        notAfter: new Date('2030-04-01T00:00:00Z'),
      },
      renewsAt: new Date('2030-03-01T00:00:00Z'),
      lastError: {
        code: 'V6_PORTAL_UNREACHABLE',
        message: 'no answer',
        at: new Date('2030-01-02T00:00:00Z'),
      },
    });
    expect(renderNodeVpn(report)).toBe(
      [
        'VPN: connected as 10.76.0.5 with the stored client config',
        '  level             data (packets of the VPN server arrive)',
        '  up since          2030-01-01T00:00:00.000Z',
        '  VPN server        192.0.2.7:1194 udp',
        '  bytes             10 received, 20 sent',
        '  certificate ends  2030-04-01T00:00:00.000Z',
        '  renewed at        2030-03-01T00:00:00.000Z',
        '  last error        2030-01-02T00:00:00.000Z V6_PORTAL_UNREACHABLE: no answer',
      ].join('\n'),
    );
  });
});
