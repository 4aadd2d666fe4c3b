import { readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ECHO_IMAGE } from '../../src/core/labels.ts';
import type { DaemonNetwork, DaemonStatus } from '../../src/core/protocol/daemon.ts';
import type { VpnTestReport } from '../../src/core/vpn/test-report.ts';
import type { PortalStatus } from '../../src/portal/portal-status.ts';
import { type Ran, RestUser, TestDemo } from '../support/demo.ts';
import { type HostState, hostState } from '../support/host-state.ts';
import { until } from '../support/wait.ts';

const NODES = [1, 2, 3] as const;
const demo = new TestDemo('mesh');
let before: HostState;
let user: RestUser;
let report: {
  serverUrl: string;
  user: string;
  passwordFile: string;
  collaboration: number;
  portalUrl: string;
};
let organizations: readonly number[];

const test = async (
  args: readonly string[] = [],
): Promise<{ exitCode: number; report: VpnTestReport }> => {
  const ran = await demo.vpnTest(args);
  return { exitCode: ran.exitCode, report: ran.json as unknown as VpnTestReport };
};
/** A command that must succeed; what it printed is the message when it does not. */
const ok = async (running: Promise<Ran>): Promise<Ran> => {
  const ran = await running;
  if (ran.exitCode !== 0) throw new Error(`exit ${ran.exitCode}: ${ran.stdout}\n${ran.stderr}`);
  return ran;
};
const network = async (index: number): Promise<DaemonNetwork> =>
  (await demo.node('network show', index, ['--json'])).json as unknown as DaemonNetwork;
const status = async (index: number): Promise<DaemonStatus> =>
  (await demo.node('status', index, ['--json'])).json as unknown as DaemonStatus;
const connected = (index: number): Promise<DaemonStatus> =>
  until(
    `tunnel of hospital-${index}`,
    40_000,
    () => status(index),
    ({ vpn }) => vpn?.state === 'connected',
  );

/** A reboot takes all rules away. What belongs to nodes that a user runs beside ours stays. */
async function forgetGuard(): Promise<void> {
  const { stdout } = await execa('nft', ['list', 'set', 'inet', 'v6guard', 'owners']);
  const owners = [...stdout.matchAll(/(0x[0-9a-f]+) comment "v6 ([^"]+)"/g)];
  const own = owners.filter(([, , owner = '']) => owner.startsWith(`${demo.scope}/`));
  expect(own).toHaveLength(2);
  if (own.length === owners.length) await execa('nft', ['delete', 'table', 'inet', 'v6guard']);
  for (const [, mark = ''] of own.length === owners.length ? [] : own)
    await execa('nft', ['delete', 'element', 'inet', 'v6guard', 'owners', `{ ${mark} }`]);
}

/** The client config of the first node. */
const ovpn = (): string => path.join(demo.root, 'node/hospital-1/data/vpn/vpn-config.ovpn.conf');

/** Packets that the rules for new flows out of the VPN let in, and bytes that tun0 received. */
async function counters(index: number): Promise<{ accepted: number; tunPackets: number }> {
  const rules = (await network(index)).vpnClient.rules;
  const line = rules
    .split('\n')
    .find(
      (text) => text.includes('iifname "tun0"') && text.includes('dnat') && text.includes('accept'),
    );
  const accepted = Number(/packets (\d+)/.exec(line ?? '')?.[1] ?? Number.NaN);
  const tun = await demo.docker(
    'exec',
    demo.vpnClient(index),
    'cat',
    '/sys/class/net/tun0/statistics/rx_packets',
  );
  return { accepted, tunPackets: Number(tun) };
}

let squatter: Server;

beforeAll(async () => {
  await demo.open();
  // The usual port of the server is taken; when it is already, so much the better.
  squatter = createServer().listen(7601, '127.0.0.1');
  squatter.on('error', () => {});
  before = await hostState(['/run/v6', demo.home]);
}, 60_000);

afterAll(async () => {
  squatter.close();
  await demo.close();
}, 180_000);

describe('a mesh of three nodes', () => {
  it('refuses a port that was asked for and is taken, and begins nothing', async () => {
    const ran = await demo.up(['--server-port', '7601']);
    expect(ran.exitCode).toBe(69);
    expect(ran.json).toMatchObject({ error: { code: 'V6_NET_PORT_IN_USE' } });
    expect(await hostState(['/run/v6', demo.home])).toEqual(before);
  });

  it('comes up with one command', async () => {
    const ran = await ok(demo.up(['--nodes', '3']));
    expect(ran.stderr).not.toContain('V6_');
    report = ran.json as never;
    expect(report.serverUrl).not.toContain(':7601');
    user = await RestUser.logIn(demo, report);
    const nodes = await user.request<{
      data: { organization: { id: number }; name: string; status: string; ip: string }[];
    }>('GET', '/node');
    organizations = nodes.data.map((node) => node.organization.id).toSorted((a, b) => a - b);
    expect(nodes.data.map(({ name, status: state }) => `${name} ${state}`).toSorted()).toEqual(
      NODES.map((index) => `hospital-${index} online`),
    );
  });

  it('passes all 18 pairs, and every payload went through the tunnels and never in clear', async () => {
    const uplink = await demo.docker(
      'network',
      'inspect',
      '--format',
      '{{index .Options "com.docker.network.bridge.name"}}',
      `v6a-${demo.scope}-net`,
    );
    const capture = (device: string) =>
      execa('tcpdump', ['-i', device, '-U', '-w', '-', '-s', '0'], {
        encoding: 'buffer',
        reject: false,
        timeout: 100_000,
        maxBuffer: 2 ** 28,
      });
    const slots = (await network(1)).slots;
    const clear = capture(uplink);
    const inside = slots.map((slot) => capture(slot.bridge));
    const from = await Promise.all(NODES.map(counters));
    const { exitCode, report: result } = await test();
    const to = await Promise.all(NODES.map(counters));
    for (const process of [clear, ...inside]) process.kill('SIGINT');
    const [wire, ...bridges] = await Promise.all([clear, ...inside]);

    expect(result.pairs.filter((pair) => !pair.ok)).toEqual([]);
    expect(exitCode).toBe(0);
    expect(result.ok).toBe(true);
    expect(result.summary).toMatchObject({ pairs: 18, passed: 18, failed: 0 });
    const keys = result.pairs.map((pair) => `${pair.from}>${pair.to}/${pair.protocol}`);
    expect(new Set(keys).size).toBe(18);
    for (const pair of result.pairs) {
      expect(pair.address).toMatch(/^\d+\.\d+\.\d+\.\d+:\d+$/);
      expect(pair.rttMs?.median).toBeGreaterThan(0);
    }
    NODES.forEach((_, at) => {
      // Two peers, one tcp and one udp flow each at least: four new connections came out of the tunnel.
      expect((to[at]?.accepted ?? 0) - (from[at]?.accepted ?? 0)).toBeGreaterThanOrEqual(4);
      expect((to[at]?.tunPackets ?? 0) - (from[at]?.tunPackets ?? 0)).toBeGreaterThan(40);
    });
    const marker = Buffer.from('v6-echo/1');
    const has = (part: { stdout?: Uint8Array } | undefined) =>
      Buffer.from(part?.stdout ?? []).includes(marker);
    expect(bridges.some(has), 'the payload shows on a slot, so the search can find it').toBe(true);
    expect(Buffer.from(wire?.stdout ?? []).length, 'the uplink carried the tunnel').toBeGreaterThan(
      10_000,
    );
    expect(has(wire)).toBe(false);
  });

  it('lets an algorithm connect to its own registered address as its first act', async () => {
    const task = await user.createTask({
      collaboration: report.collaboration,
      image: ECHO_IMAGE,
      method: 'self',
      organizations,
    });
    for (const run of (await user.finish(task)).values()) {
      expect(run).toMatchObject({ status: 'completed', value: { ok: true } });
    }
  });

  it('opens a registered port to the VPN and never to the uplink', async () => {
    const [first = 0] = organizations;
    // Waits for an organization that never comes, so that its ports stay open for a while.
    const task = await user.createTask({
      collaboration: report.collaboration,
      image: ECHO_IMAGE,
      method: 'echo',
      kwargs: { organizations: [first, 999_999], limitMs: 20_000 },
      organizations: [first],
    });
    const [run] = await until(
      'an active run with ports',
      20_000,
      () => user.runs(task),
      ([item]) => item?.status === 'active' && item.ports.length > 0,
    );
    const port = run?.ports.find((item) => item.label === 'echo-tcp')?.port ?? 0;
    const uplinkNetwork = `v6a-${demo.scope}-net`;
    const client = demo.vpnClient(1);
    const address = await demo.docker(
      'inspect',
      '--format',
      `{{(index .NetworkSettings.Networks "${uplinkNetwork}").IPAddress}}`,
      client,
    );
    const image = await demo.docker('inspect', '--format', '{{.Config.Image}}', client);
    const probe = (target: string): Promise<{ exitCode?: number | undefined }> =>
      execa(
        'docker',
        [
          'run',
          '--rm',
          '--network',
          uplinkNetwork,
          '--label',
          `v6.scope=${demo.scope}`,
          '--entrypoint',
          '/usr/bin/socat',
          image,
          '-u',
          '/dev/null',
          `TCP:${target},connect-timeout=3`,
        ],
        { reject: false, timeout: 30_000 },
      );
    const plan = JSON.parse(await readFile(path.join(demo.root, 'plan.json'), 'utf8')) as {
      serverAddress: string;
    };
    expect((await probe(`${address}:${port}`)).exitCode).not.toBe(0);
    // Of a run that had ended there would be nothing to reach.
    expect(await user.runs(task)).toMatchObject([{ status: 'active' }]);
    expect((await probe(`${plan.serverAddress}:7601`)).exitCode, 'the probe works').toBe(0);
    await user.request('POST', '/kill/task', { id: task });
    await user.finish(task);
  });

  it('runs a sub-task on the other nodes and collects its results through the server', async () => {
    const [first = 0, ...others] = organizations;
    const task = await user.createTask({
      collaboration: report.collaboration,
      image: ECHO_IMAGE,
      method: 'collect',
      kwargs: { organizations: others },
      organizations: [first],
    });
    const outcome = (await user.finish(task)).get(first);
    expect(outcome?.status).toBe('completed');
    for (const organization of others)
      expect(JSON.stringify(outcome?.value)).toContain(String(organization));
  });

  it('fails with exit 3 and names the hop while the VPN server is away, and passes again without a restart', async () => {
    const containers = NODES.flatMap((index) => [demo.daemon(index), demo.vpnClient(index)]);
    const started = await demo.startedAt(...containers);
    await demo.docker('stop', '--time', '2', demo.container('vpn-server'));
    const failed = await test(['--timeout', '60']);
    expect(failed.exitCode).toBe(3);
    expect(failed.report.ok).toBe(false);
    const cross = failed.report.pairs.filter((pair) => pair.from !== pair.to);
    expect(cross).toHaveLength(12);
    for (const pair of cross) {
      expect(pair.ok).toBe(false);
      expect(['tunnel', 'hub']).toContain(pair.error?.hop);
    }
    await demo.docker('start', demo.container('vpn-server'));
    for (const index of NODES) await connected(index);
    const passed = await test();
    expect(passed.report.pairs.filter((pair) => !pair.ok)).toEqual([]);
    expect(passed.exitCode).toBe(0);
    expect(await demo.startedAt(...containers)).toBe(started);
  });
});

describe('the credential ladder of a node', () => {
  const restart = async (): Promise<DaemonStatus['vpn']> => {
    await ok(demo.node('stop', 1, ['--json']));
    const ran = await ok(demo.node('start', 1, ['--json']));
    return (ran.json as unknown as { vpn: DaemonStatus['vpn'] }).vpn;
  };

  it('stop and start needs no portal, and keeps the address', async () => {
    const { vpn } = await status(1);
    const again = await restart();
    expect(again).toMatchObject({
      state: 'connected',
      rung: 'existing',
      portalCalls: 0,
      vpnAddress: vpn.vpnAddress,
    });
  });

  it('a revoked certificate is refused by the VPN server and renewed', async () => {
    const earlier = await readFile(ovpn(), 'utf8');
    const { vpn } = await status(1);
    const portal = await ok(demo.v6(['portal', 'status', '--scope', demo.scope, '--json']));
    const { leases } = (portal.json as unknown as PortalStatus).report ?? { leases: [] };
    const lease = leases.find(({ address }) => address === vpn.vpnAddress);
    expect(lease?.node).toMatch(/^hospital-1-[0-9a-f]{8}$/);
    await ok(demo.v6(['portal', 'revoke', 'hospital-1', '--scope', demo.scope, '--json']));
    const renewed = await until(
      'a renewed certificate',
      40_000,
      () => status(1),
      (now) => now.vpn?.state === 'connected' && now.vpn.rung !== 'existing',
    );
    expect(renewed.vpn.rung).toBe('renew');
    expect(JSON.stringify(renewed.vpn.steps)).toMatch(/refused/i);
    expect(renewed.vpn.vpnAddress).toBe(vpn.vpnAddress);
    expect(await readFile(ovpn(), 'utf8')).not.toBe(earlier);
  });

  it('without a file it asks for a new one', async () => {
    await ok(demo.node('stop', 1, ['--json']));
    await execa('rm', [ovpn()]);
    const ran = await demo.node('start', 1, ['--json']);
    expect(ran.json).toMatchObject({ vpn: { state: 'connected', rung: 'new' } });
  });

  it('`vpn renew --force` changes the keypair and keeps the address', async () => {
    const earlier = await readFile(ovpn(), 'utf8');
    const { vpn } = await status(1);
    await ok(demo.node('vpn renew', 1, ['--force', '--json']));
    expect((await status(1)).vpn).toMatchObject({ state: 'connected', vpnAddress: vpn.vpnAddress });
    expect(await readFile(ovpn(), 'utf8')).not.toBe(earlier);
  });

  it('with the portal down it warns, goes on, and finishes a task that needs no VPN', async () => {
    await ok(demo.node('stop', 1, ['--json']));
    await execa('rm', [ovpn()]);
    await demo.docker('stop', '--time', '2', demo.container('portal'));
    const ran = await ok(demo.node('start', 1, ['--json']));
    expect(ran.json).toMatchObject({ vpn: { state: 'without' } });
    expect(ran.stderr).toMatch(/Warning V6_PORTAL_UNREACHABLE/);
    const [first = 0] = organizations;
    const task = await user.createTask({
      collaboration: report.collaboration,
      image: ECHO_IMAGE,
      method: 'whoami',
      organizations: [first],
    });
    expect((await user.finish(task)).get(first)?.status).toBe('completed');
    await demo.docker('start', demo.container('portal'));
    await demo.node('vpn renew', 1, ['--json']);
    await connected(1);
    expect((await test()).exitCode).toBe(0);
  });
});

describe('a demo that is there', () => {
  it('is left as it is by a second up, and adapted to another number of nodes', async () => {
    const containers = NODES.map((index) => demo.daemon(index));
    const started = await demo.startedAt(...containers);
    await ok(demo.up(['--nodes', '3']));
    expect(await demo.startedAt(...containers)).toBe(started);
    await ok(demo.up(['--nodes', '2']));
    const { report: result, exitCode } = await test();
    expect(exitCode).toBe(0);
    expect(result.summary.pairs).toBe(8);
  });

  it('is mended when half of it was removed', async () => {
    await demo.docker(
      'rm',
      '-f',
      demo.container('server'),
      demo.daemon(1),
      demo.vpnClient(2),
      demo.container('vpn-server'),
    );
    await ok(demo.up(['--nodes', '2']));
    for (const index of [1, 2]) await connected(index);
    expect((await test()).report.pairs.filter((pair) => !pair.ok)).toEqual([]);
  });

  it('comes back by itself after a reboot, when /run is empty and the engine starts its containers', async () => {
    const names = (
      await demo.docker(
        'ps',
        '-a',
        '--filter',
        `label=v6.scope=${demo.scope}`,
        '--format',
        '{{.Names}}',
      )
    ).split('\n');
    await demo.docker('kill', ...names);
    await forgetGuard();
    await rm(`/run/v6/${demo.scope}`, { recursive: true });
    await demo.docker('start', ...names);
    for (const index of [1, 2]) await connected(index);
    const { report: result, exitCode } = await test(['--all-nodes']);
    expect(result.pairs.filter((pair) => !pair.ok)).toEqual([]);
    expect(exitCode).toBe(0);
    expect((await network(1)).hostRules).toContain('v6guard');
  });

  it('keeps its secrets out of every output, log, argument and environment', async () => {
    const secrets = new Map<string, string>();
    const add = async (name: string, file: string, pattern?: RegExp): Promise<void> => {
      const text = await readFile(path.join(demo.root, file), 'utf8');
      const value = (pattern === undefined ? text : (pattern.exec(text)?.[1] ?? '')).trim();
      expect(value.length, name).toBeGreaterThan(8);
      secrets.set(name, value);
    };
    await add('root password', 'server/demo/data/root-password');
    await add('user password', 'researcher-password');
    await add('portal password', 'server/demo/config.yaml', /portal_userpass: "(.*)"/);
    await add('client secret', 'server/demo/config.yaml', /client_secret: "(.*)"/);
    await add('API key', 'node/hospital-1/config.yaml', /api_key: "(.*)"/);
    await add(
      'private key',
      'node/hospital-1/data/vpn/vpn-config.ovpn.conf',
      /BEGIN PRIVATE KEY-----\n(\S+)/,
    );
    const login = JSON.parse(
      await readFile(`${demo.home}/config/v6/logins.json`, 'utf8'),
    ) as unknown;
    const token = /"accessToken":"([^"]+)"/.exec(JSON.stringify(login))?.[1] ?? '';
    expect(token.length).toBeGreaterThan(20);
    secrets.set('access token', token);

    const names = (
      await demo.docker('ps', '-aq', '--filter', `label=v6.scope=${demo.scope}`)
    ).split('\n');
    const places = new Map<string, string>([['output of commands', demo.printed.join('\n')]]);
    for (const id of names) {
      const logs = await execa('docker', ['logs', id], { all: true, reject: false });
      places.set(`log of ${id}`, logs.all ?? '');
    }
    places.set('inspect', await demo.docker('inspect', ...names));
    const processes = await execa(
      'sh',
      ['-c', 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n"'],
      { reject: false },
    );
    places.set('processes', processes.stdout);
    expect(places.get('processes')).toContain(`hospital-1`);
    // The daemon in its container may look at the ports of algorithms.
    for (const text of places.values()) expect(text).not.toContain('cannot be seen');
    for (const [place, text] of places) {
      for (const [secret, value] of secrets)
        expect(text.includes(value), `${secret} in ${place}`).toBe(false);
    }
  });

  it('goes without leaving anything on the host', async () => {
    await ok(demo.down());
    expect(await hostState(['/run/v6', demo.home])).toEqual(before);
  });

  it('leaves nothing either when `up` was killed half-way', async () => {
    for (const afterMs of [1500, 4000]) {
      const child = execa(
        process.execPath,
        [path.join(import.meta.dirname, '../../bin/run.js'), 'demo', 'up', '--name', 'mesh'],
        { env: demo.env, extendEnv: false, reject: false, stdin: 'ignore' },
      );
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      child.kill('SIGKILL');
      await child;
      await ok(demo.down());
      expect(await hostState(['/run/v6', demo.home])).toEqual(before);
    }
  });

  it('undoes what was begun at Ctrl-C', async () => {
    const child = execa(
      process.execPath,
      [path.join(import.meta.dirname, '../../bin/run.js'), 'demo', 'up', '--name', 'mesh'],
      { env: demo.env, extendEnv: false, reject: false, stdin: 'ignore' },
    );
    const hasBegun = async (): Promise<boolean> =>
      (await demo.docker('ps', '--all', '-q', '--filter', `label=v6.scope=${demo.scope}`)) !== '';
    await until('it works on the host', 60_000, hasBegun);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    child.kill('SIGINT');
    expect((await child).exitCode).toBe(130);
    expect(await hostState(['/run/v6', demo.home])).toEqual(before);
  });
});
