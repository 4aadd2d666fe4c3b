import { appendFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ECHO_IMAGE } from '../../src/core/labels.ts';
import { containsAddress, parseCidr } from '../../src/core/net/ipv4.ts';
import type { DaemonVpn, Verdict } from '../../src/core/protocol/daemon.ts';
import type { EmbeddedPortalSettings } from '../../src/portal/settings.ts';
import { type Ran, RestUser, TestDemo } from '../support/demo.ts';
import { until } from '../support/wait.ts';

/** A node's VPN client with what real portals do and ours does only when a test asks for it. */
const demo = new TestDemo('modes');
const PORTAL_FILE = 'portal/default/data/portal.json';
let user: RestUser;
let collaboration: number;
let vpnServer: string;

const ok = async (running: Promise<Ran>): Promise<Ran> => {
  const ran = await running;
  if (ran.exitCode !== 0) throw new Error(`exit ${ran.exitCode}: ${ran.stdout}\n${ran.stderr}`);
  return ran;
};
const vpnOf = async (index: number): Promise<DaemonVpn> =>
  (await ok(demo.node('vpn status', index, ['--json']))).json as unknown as DaemonVpn;
interface NodeAtServer {
  readonly name: string;
  readonly ip: string | null;
  readonly status: string;
  readonly organization: { readonly id: number };
}
const nodeOf = async (index: number): Promise<NodeAtServer> => {
  const { data } = await user.request<{ data: NodeAtServer[] }>('GET', '/node');
  const found = data.find(({ name }) => name === `hospital-${index}`);
  if (found === undefined) throw new Error(`the server knows no hospital-${index}`);
  return found;
};
const passes = async (): Promise<void> => {
  const ran = await demo.vpnTest();
  expect(ran.exitCode, ran.stdout).toBe(0);
};

/** Other settings of the portal, which is made anew from them. */
async function adapt(
  change: (settings: EmbeddedPortalSettings) => Partial<EmbeddedPortalSettings>,
  nodes: number,
): Promise<Ran> {
  const file = path.join(demo.root, PORTAL_FILE);
  const settings = JSON.parse(await readFile(file, 'utf8')) as EmbeddedPortalSettings;
  await writeFile(file, `${JSON.stringify({ ...settings, ...change(settings) }, null, 2)}\n`);
  return ok(demo.up(['--nodes', String(nodes)]));
}

/** Names that the daemon of a node resolves, as a resolver would. */
async function nameHosts(index: number, names: Readonly<Record<string, string>>): Promise<void> {
  const file = await demo.docker('inspect', '--format', '{{.HostsPath}}', demo.daemon(index));
  const lines = Object.entries(names).map(([name, address]) => `${address} ${name}\n`);
  await appendFile(file.trim(), lines.join(''));
}

beforeAll(async () => {
  await demo.open();
  const up = await ok(demo.up(['--nodes', '2']));
  const report = up.json as unknown as Parameters<typeof RestUser.logIn>[1] & {
    collaboration: number;
  };
  collaboration = report.collaboration;
  user = await RestUser.logIn(demo, report);
  const text = await readFile(path.join(demo.root, 'plan.json'), 'utf8');
  vpnServer = (JSON.parse(text) as { vpnServerAddress: string }).vpnServerAddress;
});

afterAll(() => demo.close());

describe('another address after a reconnect', () => {
  it('is registered, and the ports of a run that goes on are found under it', async () => {
    await adapt(() => ({ testModes: { changesAddresses: true } }), 2);
    const task = await user.createTask({
      collaboration,
      image: ECHO_IMAGE,
      method: 'echo',
      kwargs: { organizations: [999_999], limitMs: 60_000 },
      organizations: [(await nodeOf(1)).organization.id],
    });
    const [before] = await until(
      'an active run with ports',
      30_000,
      () => user.runs(task),
      ([run]) => run?.status === 'active' && run.ports.length === 2,
    );
    const first = (await nodeOf(1)).ip;
    const moved = await until(
      'another address',
      60_000,
      async () => {
        await demo.docker('restart', '--time', '2', demo.container('vpn-server'));
        return until(
          'a tunnel',
          20_000,
          () => vpnOf(1),
          ({ state }) => state === 'connected',
        );
      },
      ({ vpnAddress }) => vpnAddress !== first,
    );
    await until(
      'the server knows it',
      20_000,
      () => nodeOf(1),
      ({ ip }) => ip === moved.vpnAddress,
    );
    const [after] = await user.runs(task);
    expect(after).toMatchObject({ status: 'active', ports: before?.ports });
    expect(after?.node.ip).toBe(moved.vpnAddress);
    await user.request('POST', '/kill/task', { id: task });
    await user.finish(task);
    await passes();
  });
});

describe('two slices, udp and tcp, and four remotes by name', () => {
  it('connects a node over whichever remote answers, and each slice reaches the other', async () => {
    const [nobody, noneElse] = ['98', '99'].map((end) => vpnServer.replace(/\d+$/, end)) as [
      string,
      string,
    ];
    const remotes = (['udp', 'tcp'] as const).flatMap((protocol) =>
      ['first', 'second'].map((name) => ({
        host: `${name}-${protocol}.vpn.test`,
        port: 1194,
        protocol,
      })),
    );
    await adapt(() => ({ testModes: { hasTwoSlices: true }, remotes }), 2);
    // The first node gets through with its second remote, the second where UDP leads nowhere with its fourth.
    await nameHosts(1, {
      'first-udp.vpn.test': nobody,
      'second-udp.vpn.test': vpnServer,
      'first-tcp.vpn.test': nobody,
      'second-tcp.vpn.test': vpnServer,
    });
    await nameHosts(2, {
      'first-udp.vpn.test': nobody,
      'second-udp.vpn.test': noneElse,
      'first-tcp.vpn.test': nobody,
      'second-tcp.vpn.test': vpnServer,
    });
    const verdicts = await Promise.all(
      [1, 2].map(async (index) => {
        const ran = await ok(demo.node('vpn renew', index, ['--force', '--json']));
        return ran.json as unknown as Verdict;
      }),
    );
    const subnet = JSON.parse(await readFile(path.join(demo.root, 'plan.json'), 'utf8')) as {
      vpnSubnet: string;
    };
    const [network = ''] = subnet.vpnSubnet.split('/');
    const udp = parseCidr(`${network}/17`, 'the slice of udp');
    const slices = verdicts.map(({ state, vpnAddress }) => [
      state,
      containsAddress(udp, vpnAddress as never),
    ]);
    expect(slices).toEqual([
      ['connected', true],
      ['connected', false],
    ]);
    await passes();
  });
});

describe('a portal that lets the account have three configurations', () => {
  it('nobody is evicted by a fourth node, which gets in when one is released', async () => {
    for (const index of [1, 2]) await ok(demo.node('stop', index, ['--release', '--json']));
    await demo.docker('restart', '--time', '5', demo.container('server'));
    const up = await adapt(
      ({ placement }) => ({
        testModes: { maxActiveConfigurations: 3 },
        remotes: [{ host: placement?.vpnServerAddress ?? '', port: 1194, protocol: 'udp' }],
      }),
      4,
    );
    const { nodes } = up.json as unknown as { nodes: { name: string; vpn: Verdict }[] };
    const states = nodes.map(({ vpn }) => vpn.warning?.code ?? vpn.state).toSorted();
    expect(states).toEqual(['V6_PORTAL_QUOTA', 'connected', 'connected', 'connected']);
    const left = nodes.findIndex(({ vpn }) => vpn.state !== 'connected') + 1;
    const others = [1, 2, 3, 4].filter((index) => index !== left);
    const [given = 0] = others;
    await ok(demo.node('stop', given, ['--release', '--json']));
    const came = await ok(demo.node('vpn connect', left, ['--json']));
    expect(came.json).toMatchObject({ state: 'connected', rung: 'new' });
    for (const index of others.slice(1)) expect((await vpnOf(index)).state).toBe('connected');
    // A node without a socket counts as online for a moment.
    await until(
      'the server misses the node',
      30_000,
      async () => (await nodeOf(given)).status,
      (status) => status === 'offline',
    );
    await passes();
  });
});
