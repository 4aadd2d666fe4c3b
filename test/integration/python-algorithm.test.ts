import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/core/engine/engine.ts';
import { TestCoordination, type TestNode } from '../support/coordination.ts';
import { dockerSandbox } from '../support/docker.ts';
import { buildPythonAlgorithm } from '../support/python-image.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { TestNodeDaemon } from '../support/test-node.ts';
import { VPN_SUBNET, VpnLab, writeAddresses } from '../support/vpn-lab.ts';
import { until } from '../support/wait.ts';

// The real vantage6-algorithm-tools 4.15.2 in containers that our nodes run, with a VPN between two nodes.

const SCOPE = 'demo-pyalgo';
const IMAGE = 'v6-test-python-algorithm:1';
const LIMIT_MS = 60_000;
const TEST_TIMEOUT_MS = 120_000;

let engine: Engine;
let vpnImage: string;
let folder: TempFolder;
let world: TestCoordination;
let lab: VpnLab;
let nodes: readonly TestNode[];
const daemons: TestNodeDaemon[] = [];

async function startNode(node: TestNode, number: number, name: string): Promise<void> {
  const daemon = new TestNodeDaemon({
    name,
    scope: SCOPE,
    root: folder.path,
    engine,
    vpnImage,
    apiKey: node.apiKey,
    port: world.port,
    config: [
      `isolated_range: 10.206.${number}.0/24`,
      `uplink_network: ${lab.uplink}`,
      `vpn_subnet: ${VPN_SUBNET}`,
      `databases: [{label: ages, uri: ${path.join(folder.path, 'ages.csv')}, type: csv}]`,
    ],
  });
  daemons.push(daemon);
  const file = path.join(daemon.context.dataDir, 'vpn', 'vpn-config.ovpn.conf');
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, await lab.clientConfig(`node-${number}`), { mode: 0o600 });
  const started = await daemon.start();
  expect(await started.verdict(30_000)).toMatchObject({ state: 'connected' });
}

beforeAll(async () => {
  ({ engine, image: vpnImage } = await dockerSandbox('pyalgo'));
  folder = await tempFolder();
  await writeFile(path.join(folder.path, 'ages.csv'), 'age\n30\n40\n');
  await buildPythonAlgorithm(engine, IMAGE);
  world = await TestCoordination.start(path.join(folder.path, 'server'));
  nodes = await world.createNodes(['alpha', 'beta']);
  lab = await VpnLab.open('pyalgo');
  await writeAddresses(lab, 2);
  await lab.startServer();
  for (const [index, node] of nodes.entries())
    await startNode(node, index + 1, index === 0 ? 'alpha' : 'beta');
});
afterAll(async () => {
  for (const daemon of daemons) await daemon.clean();
  await lab?.remove();
  await world?.server.stop();
  await engine?.images.remove(IMAGE);
  await folder?.remove();
});

const organizations = (): number[] => nodes.map(({ organization }) => organization);
const first = (): TestNode => {
  const [node] = nodes;
  if (node === undefined) throw new Error('no node');
  return node;
};

const ended = (run: number) =>
  until(
    `run ${run} ends`,
    LIMIT_MS,
    () => world.run(run),
    ({ finished_at }) => finished_at !== null,
  );

/** The results of a task at these organizations, in the order of its runs. */
async function results(
  at: readonly number[],
  input: object,
  more: object = {},
): Promise<unknown[]> {
  const { runs } = await create(at, input, more);
  const found: unknown[] = [];
  for (const run of runs) {
    const { status, log } = await ended(run);
    if (status !== 'completed') throw new Error(`run ${run}: ${String(status)}\n${String(log)}`);
    found.push(JSON.parse((await world.result(run)) ?? 'null'));
  }
  return found;
}

async function create(at: readonly number[], input: object, more: object = {}) {
  const encoded = Buffer.from(JSON.stringify(input)).toString('base64');
  const task = await world.ask('POST', '/task', {
    name: 'python',
    image: IMAGE,
    collaboration_id: world.collaboration,
    organizations: at.map((id) => ({ id, input: encoded })),
    ...more,
  });
  const { data } = await world.ask('GET', `/run?task_id=${Number(task.id)}`);
  const runs = (data as { id: number }[]).map(({ id }) => id).toSorted((a, b) => a - b);
  return { task: Number(task.id), runs };
}

describe('a Python algorithm on our nodes', { timeout: TEST_TIMEOUT_MS }, () => {
  it('is called with its arguments, a data frame and what it is to know of its run', async () => {
    const { organization, id } = first();
    const input = { method: 'echo', args: [1, 'é'], kwargs: { deep: { a: [true, null] } } };
    expect(await results([organization], input)).toEqual([
      { args: input.args, kwargs: input.kwargs },
    ]);
    const databases = [{ label: 'ages' }];
    const mean = { method: 'mean', kwargs: { column: 'age' } };
    expect(await results([organization], mean, { databases })).toEqual([{ mean: 35, rows: 2 }]);
    const [about] = await results([organization], { method: 'about' }, { databases });
    expect(about).toMatchObject({
      node: id,
      organization,
      collaboration: world.collaboration,
      token: 'token',
      labels: 'ages',
    });
  });

  it('leaves its traceback in the log when it fails', async () => {
    const { runs } = await create([first().organization], { method: 'fail' });
    const run = await ended(runs[0] ?? 0);
    expect(run.status).toBe('crashed');
    expect(run.log).toMatch(/ValueError: broken on purpose/);
  });

  it('creates a sub-task, waits for it, reads its results, and everything else that its client offers', async () => {
    const [north = 0, south = 0] = organizations();
    const [central] = await results([north], { method: 'central', args: [[north, south]] });
    const parts = [
      expect.objectContaining({ organization: north }),
      expect.objectContaining({ organization: south }),
    ];
    expect(central).toMatchObject({
      image: IMAGE,
      results: expect.arrayContaining(parts),
      again: expect.arrayContaining(parts),
      one: { collaboration: world.collaboration },
      run: 'completed',
      task: 'completed',
      organizations: [1, north, south],
      organization: north,
      collaboration: world.collaboration,
      studies: [],
    });
  });

  it('finds its neighbours and itself by address, and talks to them over the VPN', async () => {
    const [north = 0, south = 0] = organizations();
    const input = { method: 'neighbours', args: [1] };
    const seen = (own: number, other: number) => ({
      all: [north, south],
      own: [own],
      siblings: [other],
      labels: ['com'],
      children: [],
      parent: [],
      said: { [other]: other },
    });
    expect(await results([north, south], input)).toEqual([seen(north, south), seen(south, north)]);
  });

  it('finds its children while they live, and they their parent', async () => {
    const [north = 0, south = 0] = organizations();
    const [parent] = await results([north], { method: 'parent', args: [[north, south]] });
    expect(parent).toEqual({
      children: [north, south],
      with: 3,
      results: [{ parent: north }, { parent: north }],
    });
  });

  it('knows its study, and only the organizations of that', async () => {
    const { organization } = first();
    const study = await world.ask('POST', '/study', {
      name: 'cohort',
      collaboration_id: world.collaboration,
      organization_ids: [organization],
    });
    const input = { method: 'study' };
    expect(await results([organization], input, { study_id: study.id })).toEqual([
      { id: study.id, name: 'cohort', organizations: [organization] },
    ]);
  });
});
