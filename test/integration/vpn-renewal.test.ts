import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { DaemonVpn } from '../../src/core/protocol/daemon.ts';
import type { VpnTestReport } from '../../src/core/vpn/test-report.ts';
import { RestUser, TestDemo } from '../support/demo.ts';
import type { FlowReport } from '../support/flow-algorithm.ts';
import { buildFlowImage } from '../support/flow-image.ts';
import { until } from '../support/wait.ts';

/**
 * A life of the certificates so short that five renewals fit into a test: each is due at 57 to 67 % of it, and the rest of the
 * life is what an attempt may take. Three minutes or ninety days go the same way.
 */
const LIFE_SECONDS = 30;
const RENEWALS = 5;
/** The shortest that a tunnel that is made anew may take is its handshake; TCP asks again after 0.2, 0.6 and 1.4 s. */
const LONGEST_GAP_MS = 5000;
const NODES = [1, 2] as const;
const FLOW_IMAGE = 'v6-test-flow:local';

const demo = new TestDemo('renew');
let folder: string;
let user: RestUser;
let collaboration: number;
let organizations: readonly number[];

const vpnOf = async (index: number): Promise<DaemonVpn> =>
  (await demo.node('vpn status', index, ['--json'])).json as unknown as DaemonVpn;

beforeAll(async () => {
  await demo.open();
  folder = await mkdtemp(path.join(tmpdir(), 'v6-flow-'));
  await buildFlowImage(folder, FLOW_IMAGE);
  const up = await demo.up(['--nodes', '2', '--session-expiry', `${LIFE_SECONDS}s`]);
  expect(up.exitCode, up.stderr).toBe(0);
  const report = up.json as unknown as Parameters<typeof RestUser.logIn>[1] & {
    collaboration: number;
  };
  collaboration = report.collaboration;
  user = await RestUser.logIn(demo, report);
  const { data } = await user.request<{ data: { organization: { id: number } }[] }>('GET', '/node');
  organizations = data.map((node) => node.organization.id).toSorted((a, b) => a - b);
});

afterAll(async () => {
  try {
    await demo.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
    // It has the labels of ours.
    await demo.docker('rmi', '--force', FLOW_IMAGE);
  }
});

/** Starts the flow, and gives what ends it. Both nodes renew: its client's and its server's. */
async function startFlow(): Promise<{ end(): Promise<Record<'echo' | 'feed', FlowReport>> }> {
  const [client = 0, server = 0] = organizations;
  const task = await user.createTask({
    collaboration,
    image: FLOW_IMAGE,
    method: 'flow',
    kwargs: { server },
    organizations,
  });
  const containers = await until(
    'the flow runs',
    60_000,
    async () => {
      const filters = [`label=v6.scope=${demo.scope}`, 'label=v6.kind=algorithm'];
      const ids = await demo.docker(
        'ps',
        '--quiet',
        ...filters.flatMap((filter) => ['--filter', filter]),
      );
      return ids.split('\n').filter((id) => id !== '');
    },
    (ids) => ids.length === 2,
  );
  const logs = async (): Promise<string> =>
    (await Promise.all(containers.map((id) => demo.docker('logs', id)))).join('\n');
  await until('both connections are open', 30_000, async () => (await logs()).includes('flowing'));
  return {
    end: async () => {
      for (const id of containers) {
        await demo.docker('exec', id, 'node', '-e', "fs.writeFileSync('/mnt/tmp/go','')");
      }
      const outcomes = await user.finish(task);
      expect(outcomes.get(server)).toMatchObject({
        status: 'completed',
        value: { connections: 2 },
      });
      return outcomes.get(client)?.value as Record<'echo' | 'feed', FlowReport>;
    },
  };
}

/** What a node's credential went through, by looking at it often. */
async function watchNode(index: number, signal: AbortSignal) {
  const ends: number[] = [];
  const seen = new Set<string>();
  while (!signal.aborted) {
    const vpn = await vpnOf(index);
    const end = Date.parse(vpn.certificateExpiresAt ?? '');
    if (end !== ends.at(-1)) ends.push(end);
    if (vpn.state === 'connected') seen.add(`${vpn.vpnAddress}`);
    if (vpn.warning !== null) seen.add(`${vpn.warning.code} ${vpn.warning.message}`);
  }
  return { ends, seen: [...seen] };
}

it('a credential is renewed in time five times in a row, and no pair and no connection is lost', async () => {
  const before = await Promise.all(NODES.map(vpnOf));
  const flow = await startFlow();
  const stop = new AbortController();
  const watching = Promise.all(NODES.map((index) => watchNode(index, stop.signal)));
  const startedAt = Date.now();
  const tests: VpnTestReport[] = [];
  const renewals = async (): Promise<number> => {
    const ends = (await Promise.all(NODES.map(vpnOf))).map(({ certificateExpiresAt: end }) => end);
    const first = before.map(({ certificateExpiresAt: end }) => Date.parse(end ?? ''));
    const longest = ends.map((end, at) => Date.parse(end ?? '') - (first[at] ?? 0));
    return Math.min(...longest) / (LIFE_SECONDS * 1000 * 0.6);
  };
  // A renewal moves the end by 57 to 67 % of a life: this many are certain once the end has moved by as many times the larger.
  while ((await renewals()) < RENEWALS * 1.15) {
    const ran = await demo.vpnTest();
    tests.push(ran.json as unknown as VpnTestReport);
    if (Date.now() - startedAt > LIFE_SECONDS * 1000 * RENEWALS) break;
  }
  stop.abort();
  const [watched, flows] = [await watching, await flow.end()];
  process.stderr.write(
    `${JSON.stringify({ renewals: watched.map(({ ends }) => ends.length - 1), tests: tests.length, flows })}\n`,
  );
  watched.forEach(({ ends, seen }, at) => {
    expect(ends.length - 1).toBeGreaterThanOrEqual(RENEWALS);
    expect(ends).toEqual(ends.toSorted((a, b) => a - b));
    expect(seen).toEqual([before[at]?.vpnAddress]);
  });
  expect(tests.flatMap(({ pairs }) => pairs.filter(({ ok }) => !ok))).toEqual([]);
  expect(tests.length).toBeGreaterThanOrEqual(RENEWALS);
  for (const { lines, lost, longestGapMs, error } of Object.values(flows)) {
    expect({ lost, error }).toEqual({ lost: 0, error: null });
    expect(lines).toBeGreaterThan(LIFE_SECONDS * 0.5 * RENEWALS * 5);
    expect(longestGapMs).toBeLessThan(LONGEST_GAP_MS);
  }
}, 360_000);
