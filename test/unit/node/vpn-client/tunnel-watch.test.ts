import { beforeEach, describe, expect, it } from 'vitest';
import type { Logger } from '../../../../src/core/logger.ts';
import { silentLogger } from '../../../../src/core/logger.ts';
import type { Cidr } from '../../../../src/core/net/ipv4.ts';
import { TunnelWatch } from '../../../../src/node/vpn-client/tunnel-watch.ts';
import { FakeManagement } from '../../../fakes/management.ts';

const SUBNET = '10.202.0.0/16' as Cidr;
const CONNECTED = '>STATE:1,CONNECTED,SUCCESS,10.202.0.11,192.0.2.1,1194,,';
const REFUSED = [
  '>STATE:1,WAIT,,,,,,',
  '>STATE:1,AUTH,,,,,,',
  '>STATE:1,RECONNECTING,tls-error,,,,,',
];

const IPV6 = [
  ">LOG:1,,Pushed option removed by filter: 'ifconfig-ipv6 fd00::a/64 fd00::1'",
  ">LOG:1,,Pushed option removed by filter: 'route-ipv6 2000::/3'",
];

describe('the watch over a tunnel', () => {
  let nowMs: number;
  let openvpn: FakeManagement;
  let watch: TunnelWatch;
  let asked: string[];
  let warnings: string[];
  let kinds: string[];

  beforeEach(() => {
    nowMs = 1_000_000;
    openvpn = new FakeManagement();
    asked = [];
    warnings = [];
    kinds = [];
    const logger: Logger = { ...silentLogger, warn: (message) => warnings.push(message) };
    const clock = { now: () => new Date(nowMs), sleep: () => Promise.resolve() };
    watch = new TunnelWatch(
      { clock, logger, subnet: SUBNET },
      {
        onDefiniteFailure: ({ code }) => asked.push(code),
        onFrozen: () => asked.push('kill'),
      },
    );
    watch.attach(openvpn);
    watch.onChange((state) => kinds.push(state.kind));
  });

  it('is off until a credential is there, whatever openvpn says', () => {
    openvpn.open(CONNECTED);
    expect(watch.state).toEqual({ kind: 'off' });
  });

  it('tells of a tunnel that comes up', async () => {
    watch.expect();
    const outcome = watch.outcome();
    openvpn.open(CONNECTED);
    expect(await outcome).toEqual({ ok: true, address: '10.202.0.11' });
    expect(kinds).toEqual(['connecting', 'connected']);
  });

  it('does not take the last words of the old openvpn for the new one', () => {
    watch.expect();
    openvpn.open(CONNECTED);
    watch.expect();
    openvpn.say(CONNECTED);
    expect(watch.state.kind).toBe('connecting');
    openvpn.end();
    openvpn.open(CONNECTED);
    expect(watch.state.kind).toBe('connected');
  });

  it('is connecting again when openvpn ends, and while the server is away', () => {
    watch.expect();
    openvpn.open(CONNECTED);
    openvpn.end();
    openvpn.open('>STATE:1,WAIT,,,,,,', '>STATE:1,RECONNECTING,tls-error,,,,,');
    expect(watch.state).toMatchObject({
      kind: 'connecting',
      lastFailure: { code: 'V6_VPN_SERVER_UNREACHABLE' },
    });
    expect(asked).toEqual([]);
  });

  it('asks to end an openvpn whose certificate is refused, once', async () => {
    watch.expect();
    const outcome = watch.outcome();
    openvpn.open(...REFUSED, ...REFUSED);
    expect(await outcome).toMatchObject({
      ok: false,
      failure: { code: 'V6_VPN_CERTIFICATE_REFUSED' },
    });
    expect(asked).toEqual(['V6_VPN_CERTIFICATE_REFUSED']);
  });

  it('refuses an address outside vpn_subnet', () => {
    watch.expect();
    openvpn.open('>STATE:1,CONNECTED,SUCCESS,10.99.0.11,192.0.2.1,1194,,');
    expect(watch.state).toMatchObject({
      kind: 'failed',
      failure: { code: 'V6_VPN_SUBNET_MISMATCH', definite: true },
    });
    expect(asked).toEqual(['V6_VPN_SUBNET_MISMATCH']);
  });

  it('fails a tunnel through which nothing comes, and takes it back when something does', () => {
    watch.expect();
    openvpn.open(">LOG:1,I,PUSH: 'PUSH_REPLY,ping 5,ping-restart 15'", CONNECTED);
    for (const received of [100, 200, 200]) {
      openvpn.say(`>BYTECOUNT:${received},50`);
      nowMs += 5000;
    }
    expect(watch.state.kind).toBe('connected');
    expect(watch.bytes).toEqual({ received: 200, sent: 50 });
    nowMs += 5001;
    openvpn.say('>BYTECOUNT:200,90');
    expect(watch.state).toMatchObject({
      kind: 'failed',
      failure: { code: 'V6_VPN_NO_DATA', definite: false },
    });
    openvpn.say('>STATE:1,RECONNECTING,ping-restart,,,,,', CONNECTED);
    expect(watch.state.kind).toBe('connected');
  });

  it('asks to kill an openvpn that is frozen', () => {
    watch.expect();
    openvpn.open(CONNECTED);
    openvpn.freeze();
    expect(asked).toEqual(['kill']);
  });

  it('warns once of IPv6 that the filter takes out, and not of other options', () => {
    watch.expect();
    openvpn.open(">LOG:1,,Pushed option removed by filter: 'route 10.0.0.0 255.0.0.0'", ...IPV6);
    openvpn.say(CONNECTED, ...IPV6);
    expect(warnings).toEqual([expect.stringContaining('IPv6')]);
  });

  // The kernel tells twice what it grants.
  it.each([
    ['R=[212992->425984] S=[212992->425984]', 1],
    ['R=[212992->2097152] S=[212992->1400000]', 1],
    ['R=[212992->2097152] S=[212992->2097152]', 0],
  ])('warns once of socket buffers below one MiB: %s', (sizes, count) => {
    watch.expect();
    const line = `>LOG:1,I,Socket Buffers: ${sizes}`;
    openvpn.open(line, line);
    expect(warnings).toHaveLength(count);
  });
});
