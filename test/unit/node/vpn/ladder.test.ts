import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import type { LogFields, Logger } from '../../../../src/core/logger.ts';
import { parseCidr } from '../../../../src/core/net/ipv4.ts';
import type { Verdict } from '../../../../src/core/protocol/daemon.ts';
import type { Remote, TunnelOutcome } from '../../../../src/core/vpn/tunnel.ts';
import { createLadder } from '../../../../src/node/vpn/ladder.ts';
import {
  down,
  FakeCoordinatorVpn,
  FakeCredentialStore,
  FakeTunnel,
  failure,
  up,
} from '../../../fakes/ladder-world.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';
import { makePair, type Pair, portalFile } from '../../../support/client-files.ts';

const SUBNET = parseCidr('10.76.0.0/16', 'vpn_subnet');
const MINUTE = 60_000;
let good: Pair;
let other: Pair;
let ended: Pair;
let stop = new AbortController();

beforeAll(async () => {
  good = await makePair(new Date('2031-01-01T00:00:00Z'));
  other = await makePair(new Date('2032-01-01T00:00:00Z'));
  ended = await makePair(new Date('2029-12-31T00:00:00Z'));
});

afterEach(() => {
  stop.abort(new Error('end of the test'));
  stop = new AbortController();
});

class MemoryLogger implements Logger {
  readonly lines: { level: string; message: string; fields: LogFields }[] = [];
  readonly debug = (message: string, fields: LogFields = {}) => this.#add('debug', message, fields);
  readonly info = (message: string, fields: LogFields = {}) => this.#add('info', message, fields);
  readonly warn = (message: string, fields: LogFields = {}) => this.#add('warn', message, fields);
  readonly error = (message: string, fields: LogFields = {}) => this.#add('error', message, fields);

  #add(level: string, message: string, fields: LogFields): void {
    this.lines.push({ level, message, fields });
  }
}

function world(options: {
  readonly stored?: string;
  readonly tunnel?: readonly (TunnelOutcome | Error)[];
  readonly renewed?: () => string;
  readonly fetched?: () => string;
  readonly address?: string;
}) {
  const clock = new ManualClock();
  const logger = new MemoryLogger();
  const credentials = new FakeCredentialStore(options.stored);
  const vpnClient = new FakeTunnel(...(options.tunnel ?? [up()]));
  const vpn = new FakeCoordinatorVpn(options.renewed ?? (() => portalFile(other)), options.fetched);
  const remotes: (readonly Remote[])[] = [];
  const ladder = createLadder({
    vpnClient,
    vpn,
    credentials,
    subnet: SUBNET,
    clock,
    logger,
    resolve: async () => [(options.address ?? '192.0.2.7') as Remote['address']],
    onRemotes: async (found) => {
      remotes.push(found);
    },
  });
  const verdicts: Verdict[] = [];
  ladder.onVerdict((verdict) => verdicts.push(verdict));
  return { clock, logger, credentials, vpnClient, vpn, ladder, remotes, verdicts };
}

function refuse(code: V6Error['code'], details: Record<string, unknown> = {}): () => never {
  return () => {
    throw new V6Error(code, `said ${code}`, { details });
  };
}

describe('the ladder of a node', () => {
  it('connects with the stored file and asks the portal for nothing', async () => {
    const { ladder, vpn, vpnClient, remotes } = world({ stored: portalFile(good) });
    expect(await ladder.run(stop.signal)).toMatchObject({
      state: 'connected',
      rung: 'existing',
      vpnAddress: '10.76.0.5',
      portalCalls: 0,
      warning: null,
    });
    expect(vpn.calls).toEqual([]);
    expect(vpnClient.tried[0]).toContain('remote 192.0.2.7 1194 udp\nremote 192.0.2.7 1194 tcp');
    expect(remotes[0]).toHaveLength(2);
    expect(ladder.certificate()?.notAfter).toEqual(new Date('2031-01-01T00:00:00Z'));
  });

  it('fetches and stores a file when there is none', async () => {
    const { ladder, vpn, credentials } = world({ fetched: () => portalFile(other) });
    expect(await ladder.run(stop.signal)).toMatchObject({ rung: 'new', portalCalls: 1 });
    expect(vpn.calls).toEqual(['fetch']);
    expect(credentials.text).toBe(portalFile(other));
  });

  it('says that the VPN server refused the certificate, renews, and stores the new file', async () => {
    const { ladder, vpn, credentials } = world({
      stored: portalFile(good),
      tunnel: [down('V6_VPN_CERTIFICATE_REFUSED'), up()],
      renewed: () => portalFile(other).replaceAll('\n', '\r\n'),
    });
    const verdict = await ladder.run(stop.signal);
    expect(verdict).toMatchObject({ state: 'connected', rung: 'renew', portalCalls: 1 });
    expect(verdict.steps[0]).toEqual({
      rung: 'existing',
      outcome: 'V6_VPN_CERTIFICATE_REFUSED: said V6_VPN_CERTIFICATE_REFUSED',
    });
    expect(vpn.calls).toEqual(['renew']);
    expect(credentials.text).toBe(portalFile(other));
  });

  it('finds an expired certificate before it connects', async () => {
    const { ladder, vpnClient } = world({ stored: portalFile(ended) });
    const verdict = await ladder.run(stop.signal);
    expect(verdict).toMatchObject({ state: 'connected', rung: 'renew', portalCalls: 1 });
    expect(verdict.steps[0]?.outcome).toContain('ended at 2029-12-31T00:00:00.000Z');
    expect(vpnClient.tried).toHaveLength(1);
  });

  it('goes on with a file that cannot be stored', async () => {
    const { ladder, credentials, logger } = world({});
    credentials.failSaves = true;
    expect(await ladder.run(stop.signal)).toMatchObject({ state: 'connected', rung: 'new' });
    expect(logger.lines.some(({ fields }) => fields.code === 'V6_CONFIG_WRITE')).toBe(true);
  });

  it('keeps a forbidden directive of the portal away from the VPN client', async () => {
    const { ladder, vpnClient, credentials } = world({
      fetched: () => portalFile(good, undefined, ['up /bin/sh']),
    });
    const verdict = await ladder.run(stop.signal);
    expect(verdict.warning?.code).toBe('V6_VPN_CONFIG_INVALID');
    expect(verdict.warning?.message).toContain('up');
    expect(vpnClient.tried).toEqual([]);
    expect(credentials.text).toBeUndefined();
  });

  it('spends no credential on a subnet that does not match, or a remote inside the subnet', async () => {
    const mismatch = world({
      stored: portalFile(good),
      tunnel: [down('V6_VPN_SUBNET_MISMATCH')],
    });
    expect(await mismatch.ladder.run(stop.signal)).toMatchObject({
      state: 'without',
      warning: { code: 'V6_VPN_SUBNET_MISMATCH' },
    });
    const inside = world({ stored: portalFile(good), address: '10.76.0.1' });
    expect((await inside.ladder.run(stop.signal)).warning?.code).toBe('V6_NET_OVERLAP');
    expect([...mismatch.vpn.calls, ...inside.vpn.calls]).toEqual([]);
    expect(inside.vpnClient.tried).toEqual([]);
  });

  it('warns once when the VPN server is silent, and connects when it is back', async () => {
    const silent = down('V6_VPN_SERVER_UNREACHABLE', false);
    const { ladder, clock, logger, vpn, verdicts } = world({
      stored: portalFile(good),
      tunnel: [silent, silent, silent, up()],
    });
    expect(await ladder.run(stop.signal)).toMatchObject({ state: 'without', portalCalls: 0 });
    expect(clock.nextMs).toBe(3_000);
    await clock.turn(3_000);
    expect(clock.nextMs).toBe(6_000);
    await clock.turn(6_000);
    await clock.turn(12_000);
    expect(ladder.verdict()).toMatchObject({ state: 'connected', rung: 'existing' });
    expect(verdicts.at(-1)?.state).toBe('connected');
    expect(logger.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    expect(vpn.calls).toEqual([]);
    expect(clock.nextMs).toBeUndefined();
  });

  it('asks a silent portal again for what it was asked, and does not try a refused file again', async () => {
    let isDown = true;
    const { ladder, clock, vpn, vpnClient } = world({
      stored: portalFile(good),
      tunnel: [down('V6_VPN_CERTIFICATE_REFUSED'), up()],
      renewed: () =>
        isDown
          ? refuse('V6_SERVER_REFUSED', { serverCode: 'V6_PORTAL_UNREACHABLE', status: 503 })()
          : portalFile(other),
    });
    const verdict = await ladder.run(stop.signal);
    expect(verdict.warning?.code).toBe('V6_PORTAL_UNREACHABLE');
    expect(verdict.warning?.hints.join(' ')).toContain('v6 node status');
    await clock.turn(3_000);
    expect(vpn.calls).toEqual(['renew', 'renew']);
    isDown = false;
    await clock.turn(6_000);
    expect(ladder.verdict()).toMatchObject({ state: 'connected', rung: 'renew' });
    expect(vpnClient.tried).toHaveLength(2);
  });

  it('takes a crash of the VPN client for a reason to go on without, not to renew', async () => {
    const { ladder, vpn } = world({
      stored: portalFile(good),
      tunnel: [new V6Error('V6_ENGINE_MISSING', 'no engine')],
    });
    expect((await ladder.run(stop.signal)).warning?.code).toBe('V6_ENGINE_MISSING');
    expect(vpn.calls).toEqual([]);
  });

  it('waits long before it asks again where somebody must change something', async () => {
    const { ladder, clock } = world({ fetched: refuse('V6_PORTAL_ACCOUNT') });
    const verdict = await ladder.run(stop.signal);
    expect(verdict.warning?.hints.at(-1)).toContain('v6 node vpn renew --force');
    expect(clock.nextMs).toBe(2 * MINUTE);
  });

  it('ends with the signal and tries nothing more', async () => {
    const { ladder, clock } = world({
      stored: portalFile(good),
      tunnel: [down('V6_VPN_SERVER_UNREACHABLE', false)],
    });
    await ladder.run(stop.signal);
    stop.abort(new Error('stopped'));
    await settled();
    expect(clock.nextMs).toBeUndefined();
    await expect(ladder.renew(true)).rejects.toThrow('stopped');
  });
});

describe('a tunnel that was up', () => {
  async function connected(...tunnel: (TunnelOutcome | Error)[]) {
    const all = world({ stored: portalFile(good), tunnel: [up(), ...tunnel] });
    await all.ladder.run(stop.signal);
    return all;
  }
  const since = new Date(0);

  it('is left to the VPN client while it reconnects', async () => {
    const { ladder, vpnClient, vpn, clock } = await connected();
    vpnClient.become({ kind: 'connecting', since });
    expect(ladder.verdict()).toMatchObject({ state: 'trying', vpnAddress: null });
    vpnClient.become({ kind: 'connected', since, address: '10.76.0.9' as Remote['address'] });
    expect(ladder.verdict()).toMatchObject({ state: 'connected', vpnAddress: '10.76.0.9' });
    expect(vpn.calls).toEqual([]);
    expect(clock.nextMs).toBeUndefined();
  });

  it('starts the ladder at the renewal when its certificate is refused', async () => {
    const { ladder, vpnClient, vpn, clock } = await connected(up('10.76.0.6'));
    const refused = {
      kind: 'failed',
      since,
      failure: failure('V6_VPN_CERTIFICATE_REFUSED'),
    } as const;
    vpnClient.become(refused);
    await clock.turn(0);
    expect(ladder.verdict()).toMatchObject({ state: 'connected', rung: 'renew' });
    expect(ladder.verdict().steps[0]).toEqual({
      rung: 'existing',
      outcome: 'V6_VPN_CERTIFICATE_REFUSED: said V6_VPN_CERTIFICATE_REFUSED',
    });
    expect(vpn.calls).toEqual(['renew']);
    // Refused once more soon after: two machines may share the lease, so the next one waits.
    vpnClient.become(refused);
    await clock.turn(0);
    expect(vpn.calls).toEqual(['renew']);
    expect(clock.nextMs).toBe(30_000);
  });

  it('is not renewed on request while its certificate is good, unless by force', async () => {
    const { ladder, vpn, credentials } = await connected(up('10.76.0.6'));
    expect(await ladder.renew(false)).toMatchObject({ rung: 'existing', portalCalls: 0 });
    expect(vpn.calls).toEqual([]);
    expect(await ladder.renew(true)).toMatchObject({ rung: 'renew', vpnAddress: '10.76.0.6' });
    expect(vpn.calls).toEqual(['renew']);
    expect(credentials.text).toBe(portalFile(other));
  });

  it('stays when a forced renewal brings nothing', async () => {
    const { ladder, vpn, clock } = await connected();
    vpn.onRenew = refuse('V6_PORTAL_UNREACHABLE');
    expect(await ladder.renew(true)).toMatchObject({
      state: 'connected',
      rung: 'existing',
      vpnAddress: '10.76.0.5',
      warning: { code: 'V6_PORTAL_UNREACHABLE' },
    });
    expect(clock.nextMs).toBeUndefined();
  });

  it('climbs one ladder at a time', async () => {
    const { ladder, vpn } = await connected();
    const verdicts = await Promise.all([ladder.renew(true), ladder.renew(true)]);
    expect(verdicts.map(({ state }) => state)).toEqual(['connected', 'connected']);
    expect(vpn.calls).toEqual(['renew', 'renew']);
  });

  it('ends on request, stays down and comes back on request with the same file', async () => {
    const { ladder, vpn, vpnClient, clock, credentials } = await connected(up('10.76.0.6'));
    expect(await ladder.disconnect()).toMatchObject({ state: 'disconnected', vpnAddress: null });
    expect(vpnClient.tunnel().kind).toBe('off');
    vpnClient.become({ kind: 'connecting', since });
    expect(ladder.verdict().state).toBe('disconnected');
    expect(clock.nextMs).toBeUndefined();
    expect(await ladder.connect()).toMatchObject({ state: 'connected', vpnAddress: '10.76.0.6' });
    expect(vpn.calls).toEqual([]);
    expect(credentials.text).toBe(portalFile(good));
  });

  it('is left alone by a request to connect', async () => {
    const { ladder, vpnClient } = await connected(up('10.76.0.6'));
    expect(await ladder.connect()).toMatchObject({ vpnAddress: '10.76.0.5' });
    expect(vpnClient.tried).toHaveLength(1);
  });

  it('gets a client config of a new authorization when it is to be replaced', async () => {
    const { ladder, vpn, credentials } = await connected(up());
    vpn.onFetch = () => portalFile(other);
    expect(await ladder.replace()).toMatchObject({ state: 'connected', rung: 'new' });
    expect(vpn.calls).toEqual(['fetch']);
    expect(credentials.text).toBe(portalFile(other));
    expect(ladder.certificate()?.notAfter).toEqual(new Date('2032-01-01T00:00:00Z'));
  });

  it('remembers its last failure when all is well again', async () => {
    const { ladder, vpn, clock } = await connected(up());
    expect(ladder.lastError()).toBeUndefined();
    vpn.onRenew = refuse('V6_PORTAL_UNREACHABLE');
    await ladder.renew(true);
    vpn.onRenew = () => portalFile(other);
    expect(await ladder.renew(true)).toMatchObject({ warning: null });
    expect(ladder.lastError()).toMatchObject({ code: 'V6_PORTAL_UNREACHABLE', at: clock.now() });
  });

  it('gives its lease back on request, and needs a new file afterwards', async () => {
    const { ladder, vpn, credentials } = await connected(up());
    expect(await ladder.release()).toMatchObject({ state: 'disconnected' });
    expect(credentials.text).toBeUndefined();
    vpn.onFetch = () => portalFile(other);
    expect(await ladder.connect()).toMatchObject({ state: 'connected', rung: 'new' });
    expect(vpn.calls).toEqual(['release', 'fetch']);
  });

  it('keeps its file when the lease cannot be given back', async () => {
    const { ladder, vpn, credentials } = await connected(up());
    vpn.onRelease = refuse('V6_SERVER_UNREACHABLE');
    await expect(ladder.release()).rejects.toThrow('V6_SERVER_UNREACHABLE');
    expect(credentials.text).toBe(portalFile(good));
    expect(await ladder.connect()).toMatchObject({ state: 'connected', rung: 'existing' });
  });
});
