import { access, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ECHO_IMAGE } from '../../src/core/labels.ts';
import type { DaemonVpn, Verdict } from '../../src/core/protocol/daemon.ts';
import type { PortalReport } from '../../src/portal/interfaces/portal-admin.ts';
import { type Ran, RestUser, TestDemo } from '../support/demo.ts';
import { until } from '../support/wait.ts';

/** Who holds what at the portal, and how it is taken, kept and given back, on tunnels that are up. */
const demo = new TestDemo('leases');
const SERVER = ['--name', 'demo', '--scope', demo.scope, '--json'];
let user: RestUser;
let collaboration: number;

const ok = async (running: Promise<Ran>): Promise<Ran> => {
  const ran = await running;
  if (ran.exitCode !== 0) throw new Error(`exit ${ran.exitCode}: ${ran.stdout}\n${ran.stderr}`);
  return ran;
};
const vpnOf = async (index: number): Promise<DaemonVpn> =>
  (await ok(demo.node('vpn status', index, ['--json']))).json as unknown as DaemonVpn;
const start = async (index: number): Promise<Verdict> =>
  ((await demo.node('start', index, ['--json'])).json as unknown as { vpn: Verdict }).vpn;
const stop = (index: number, args: readonly string[] = []): Promise<Ran> =>
  ok(demo.node('stop', index, [...args, '--json']));
const serverVpn = (...words: string[]): Promise<Ran> =>
  ok(demo.v6(['server', 'vpn', ...words, ...SERVER]));
const ovpn = (index: number): string =>
  path.join(demo.root, `node/hospital-${index}/data/vpn/vpn-config.ovpn.conf`);
const isThere = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

/** The end of a node's certificate as the portal has it; null when it holds none. */
async function portalLease(index: number): Promise<string | null> {
  const { leases } = await until('the portal answers', 20_000, async () => {
    const ran = await ok(demo.v6(['portal', 'status', '--scope', demo.scope, '--json']));
    const { report } = ran.json as unknown as { report: PortalReport | null };
    if (report === null) throw new Error('it does not');
    return report;
  });
  const name = new RegExp(`^hospital-${index}-[0-9a-f]{8}$`);
  return leases.find(({ node }) => name.test(node))?.certificateEndsAt ?? null;
}

/** What the server knows of a node. */
async function nodeAtServer(index: number): Promise<{ ip: string | null; organization: number }> {
  const { data } = await user.request<{
    data: { name: string; ip: string | null; organization: { id: number } }[];
  }>('GET', '/node');
  const found = data.find(({ name }) => name === `hospital-${index}`);
  return { ip: found?.ip ?? null, organization: found?.organization.id ?? 0 };
}

/** Client configs that the server has asked the portal for. */
async function issued(): Promise<number> {
  const log = await execa('docker', ['logs', demo.container('server')], { all: true });
  return log.all.split('\n').filter((line) => line.includes('Client config issued')).length;
}

beforeAll(async () => {
  await demo.open();
  const up = await ok(demo.up(['--nodes', '2']));
  const report = up.json as unknown as Parameters<typeof RestUser.logIn>[1] & {
    collaboration: number;
  };
  collaboration = report.collaboration;
  user = await RestUser.logIn(demo, report);
  expect(await issued()).toBe(2);
});

afterAll(() => demo.close());

describe('the levels of connected', () => {
  it('rise from tunnel to data to peer as evidence comes', async () => {
    await stop(1);
    expect(await start(1)).toMatchObject({ state: 'connected' });
    const seen: string[] = [];
    await until(
      'data',
      30_000,
      () => vpnOf(1),
      ({ level }) => {
        if (level !== seen.at(-1)) seen.push(level);
        return level === 'data';
      },
    );
    // The first look may come when the server has been heard already.
    expect(['tunnel,data', 'data']).toContain(seen.join());
    expect((await vpnOf(1)).bytes?.received).toBeGreaterThan(0);
    const ran = await demo.vpnTest();
    expect(ran.exitCode, ran.stdout).toBe(0);
    expect((await vpnOf(1)).level).toBe('peer');
  });
});

describe('a lease that is kept', () => {
  it('a node that stops and starts connects with it while the portal is away', async () => {
    const [{ vpnAddress }, lease, calls] = [await vpnOf(1), await portalLease(1), await issued()];
    await demo.docker('stop', '--time', '2', demo.container('portal'));
    await stop(1);
    expect(await start(1)).toMatchObject({
      state: 'connected',
      rung: 'existing',
      portalCalls: 0,
      vpnAddress,
    });
    await demo.docker('start', demo.container('portal'));
    expect(await issued()).toBe(calls);
    expect(await portalLease(1)).toBe(lease);
  });

  it('an address outside vpn_subnet is an error of its own and costs no lease', async () => {
    const file = path.join(demo.root, 'node/hospital-2/config.yaml');
    const text = await readFile(file, 'utf8');
    const [credential, lease, calls] = [
      await readFile(ovpn(2), 'utf8'),
      await portalLease(2),
      await issued(),
    ];
    await stop(2);
    await writeFile(file, text.replace(/^vpn_subnet: .*$/m, 'vpn_subnet: 10.251.0.0/16'));
    const verdict = await start(2);
    expect(verdict).toMatchObject({
      state: 'without',
      portalCalls: 0,
      warning: { code: 'V6_VPN_SUBNET_MISMATCH' },
    });
    expect(verdict.steps).toHaveLength(1);
    expect(await issued()).toBe(calls);
    expect(await portalLease(2)).toBe(lease);
    expect(await readFile(ovpn(2), 'utf8')).toBe(credential);
    await stop(2);
    await writeFile(file, text);
    expect(await start(2)).toMatchObject({ state: 'connected', rung: 'existing' });
  });
});

describe('a tunnel that is taken down for a while', () => {
  it('leaves a run its ports, and the addresses come back with it', async () => {
    const { organization, ip } = await nodeAtServer(1);
    // Waits for an organization that never comes, so that its ports stay open.
    const task = await user.createTask({
      collaboration,
      image: ECHO_IMAGE,
      method: 'echo',
      kwargs: { organizations: [organization, 999_999], limitMs: 60_000 },
      organizations: [organization],
    });
    const [before] = await until(
      'an active run with ports',
      30_000,
      () => user.runs(task),
      ([run]) => run?.status === 'active' && run.ports.length === 2,
    );
    const down = await ok(demo.node('vpn disconnect', 1, ['--json']));
    expect(down.json).toMatchObject({ state: 'disconnected', vpnAddress: null });
    await until(
      'the server knows no address',
      10_000,
      () => nodeAtServer(1),
      (node) => node.ip === null,
    );
    const [during] = await user.runs(task);
    expect(during).toMatchObject({ status: 'active', ports: before?.ports });
    expect(await isThere(ovpn(1))).toBe(true);
    const up = await ok(demo.node('vpn connect', 1, ['--json']));
    expect(up.json).toMatchObject({ state: 'connected', rung: 'existing', vpnAddress: ip });
    await until(
      'the address is back',
      10_000,
      () => nodeAtServer(1),
      (node) => node.ip === ip,
    );
    const [after] = await user.runs(task);
    expect(after).toMatchObject({ status: 'active', ports: before?.ports });
    await user.request('POST', '/kill/task', { id: task });
    await user.finish(task);
  });
});

describe('a lease that is taken', () => {
  it('ends the live tunnel of the node, which gets no other until it is allowed again', async () => {
    const { vpnAddress } = await vpnOf(1);
    const calls = await issued();
    const revokedAt = Date.now();
    await serverVpn('revoke', 'hospital-1', '--yes');
    const without = await until(
      'the node is without VPN',
      40_000,
      () => vpnOf(1),
      ({ state }) => state === 'without',
    );
    process.stderr.write(`revoked: without VPN after ${Date.now() - revokedAt} ms\n`);
    expect(without.warning).toMatchObject({ code: 'V6_VPN_REVOKED' });
    expect(without).toMatchObject({ level: 'none', vpnAddress: null, bytes: null });
    expect(await portalLease(1)).toBeNull();
    await until(
      'the server knows no address',
      10_000,
      () => nodeAtServer(1),
      (node) => node.ip === null,
    );
    const leases = await serverVpn('leases');
    expect(JSON.stringify(leases.json)).toMatch(/hospital-1.*revoked/i);
    const asked = await demo.node('vpn renew', 1, ['--force', '--json']);
    expect(JSON.stringify(asked.json)).toContain('V6_VPN_REVOKED');
    await stop(1);
    expect(await start(1)).toMatchObject({
      state: 'without',
      warning: { code: 'V6_VPN_REVOKED' },
    });
    expect(await issued()).toBe(calls);
    await serverVpn('allow', 'hospital-1');
    const up = await ok(demo.node('vpn connect', 1, ['--json']));
    expect(up.json).toMatchObject({ state: 'connected', vpnAddress });
    expect(await issued()).toBe(calls + 1);
    const test = await demo.vpnTest();
    expect(test.exitCode, test.stdout).toBe(0);
  });
});

describe('a lease that is given back', () => {
  it('by a node that stops for long, and a new one is asked for at the next start', async () => {
    await stop(1, ['--release']);
    expect(await portalLease(1)).toBeNull();
    expect(await isThere(ovpn(1))).toBe(false);
    expect(await start(1)).toMatchObject({ state: 'connected', rung: 'new', portalCalls: 1 });
    expect(await portalLease(1)).not.toBeNull();
  });

  it('by a node that is removed, with its configuration and its data', async () => {
    const ran = await ok(demo.node('remove', 2, ['--yes', '--json']));
    expect(ran.json).toMatchObject({ name: 'hospital-2' });
    expect(await portalLease(2)).toBeNull();
    expect(await isThere(path.join(demo.root, 'node/hospital-2/config.yaml'))).toBe(false);
    expect(await isThere(ovpn(2))).toBe(false);
    // Of this demo alone: others have a hospital of that name as well.
    const filters = ['label=v6.node=hospital-2', `label=v6.scope=${demo.scope}`];
    const words = filters.flatMap((filter) => ['--filter', filter]);
    const left = await demo.docker('ps', '--all', '--quiet', ...words);
    expect(left).toBe('');
  });
});
