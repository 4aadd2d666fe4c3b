import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readListeningPorts } from '../../src/adapters/host/listening-ports.ts';
import { createDaemonClient } from '../../src/adapters/http/daemon-client.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { LABEL, names } from '../../src/core/labels.ts';
import { TestCoordination, type TestNode } from '../support/coordination.ts';
import { CutRelay } from '../support/cut-relay.ts';
import { dockerSandbox } from '../support/docker.ts';
import { EngineApi } from '../support/engine-api.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { buildTestAlgorithm, TestNodeDaemon, type TestNodeOptions } from '../support/test-node.ts';
import { VPN_SUBNET, VpnLab, writeAddresses } from '../support/vpn-lab.ts';
import { until } from '../support/wait.ts';

const SCOPE = 'demo-ntest';
const IMAGE = 'v6-test-node-algorithm:1';
const RUN_LIMIT_MS = 30_000;

let engine: Engine;
let vpnImage: string;
let folder: TempFolder;
let world: TestCoordination;
let node: TestNode;
let daemons: TestNodeDaemon[] = [];

const create = (options: Partial<TestNodeOptions> = {}): TestNodeDaemon => {
  const daemon = new TestNodeDaemon({
    name: 'alpha',
    scope: SCOPE,
    root: folder.path,
    engine,
    vpnImage,
    apiKey: node.apiKey,
    port: world.port,
    config: ['isolated_range: 10.205.0.0/24'],
    ...options,
  });
  daemons.push(daemon);
  return daemon;
};

/** The run once it has ended. */
const ended = (run: number) =>
  until(
    `run ${run} ends`,
    RUN_LIMIT_MS,
    () => world.run(run),
    ({ finished_at }) => finished_at !== null,
  );
const start = async (method: string, image = IMAGE): Promise<number> => {
  const { runs } = await world.createTask(image, [node.organization], { method });
  return runs[0] ?? 0;
};
const algorithm = (run: number) => engine.containers.find(names.algorithm('alpha', run, SCOPE));

beforeAll(async () => {
  ({ engine, image: vpnImage } = await dockerSandbox('node'));
  folder = await tempFolder();
  await buildTestAlgorithm(engine, path.join(folder.path, 'image'), vpnImage, IMAGE);
  world = await TestCoordination.start(path.join(folder.path, 'server'));
  const [first] = await world.createNodes(['alpha', 'beta']);
  if (first === undefined) throw new Error('no node');
  node = first;
});
afterEach(async () => {
  for (const daemon of daemons) await daemon.clean();
  daemons = [];
});
afterAll(async () => {
  await world?.server.stop();
  await engine?.images.remove(IMAGE);
  await folder?.remove();
});

describe('a node without VPN', () => {
  it('runs tasks to their results, and leaves nothing when it stops', async () => {
    const alpha = create();
    const daemon = await alpha.start();
    const echo = await start('echo');
    const fail = await start('fail');
    const missing = await start('echo', 'v6-test-no-such-image:1');
    expect(await ended(echo)).toMatchObject({ status: 'completed' });
    expect(await world.result(echo)).toBe('{"got":{"method":"echo"}}');
    expect((await world.run(echo)).log).toBe('said [token]\n');
    expect(await ended(fail)).toMatchObject({ status: 'crashed', log: 'broken\n' });
    const gone = await ended(missing);
    expect(gone).toMatchObject({ status: 'non-existing Docker image' });
    expect(gone.log).toContain('V6_IMAGE_NOT_FOUND');
    const runs = () => daemon.status().runs.length;
    await until('no run is left', 15_000, runs, (count) => count === 0);
    expect(daemon.status()).toMatchObject({ vpn: { state: 'off' }, queued: 0, slots: { busy: 0 } });
    await daemon.stop();
    expect(await alpha.held()).toEqual([]);
    const wait = () => world.ask('GET', `/node/${node.id}`);
    await until('the node is offline', 10_000, wait, ({ status }) => status === 'offline');
  });

  it('gives algorithms the server through its proxy, and refuses a token of somebody else', async () => {
    await create().start();
    const [version, stranger] = [await start('version'), await start('stranger')];
    await ended(version);
    expect(JSON.parse((await world.result(version)) ?? '')).toHaveProperty('version');
    await ended(stranger);
    expect(JSON.parse((await world.result(stranger)) ?? '')).toMatchObject({
      code: 'V6_AUTH_FORBIDDEN',
    });
  });

  it('ends runs that are killed, and reports those that its own stop ends', async () => {
    const alpha = create();
    const daemon = await alpha.start();
    const [killed, stopped] = [await start('wait'), await start('wait')];
    const isActive = async () =>
      (await algorithm(killed))?.state === 'running' &&
      (await algorithm(stopped))?.state === 'running';
    await until('both run', RUN_LIMIT_MS, isActive);
    const relation = (await world.run(killed)).task as { id: number };
    await world.ask('POST', '/kill/task', { id: relation.id });
    await until('the killed one is gone', 10_000, async () => !(await algorithm(killed)));
    expect(await world.run(killed)).toMatchObject({ status: 'killed by user' });
    expect((await algorithm(stopped))?.state).toBe('running');
    await daemon.stop();
    const run = await world.run(stopped);
    expect(run).toMatchObject({ status: 'failed' });
    expect(run.log).toContain('node stopped');
    expect(await alpha.held()).toEqual([]);
  });

  it('carries a run on that outlives its daemon', async () => {
    const process_ = await create().spawn();
    const run = await start('hold');
    const isActive = async () => (await world.run(run)).status === 'active';
    await until('it runs', RUN_LIMIT_MS, isActive);
    process_.kill('SIGKILL');
    await until('the process is gone', 5000, () => process_.signalCode !== null);
    expect((await algorithm(run))?.state).toBe('running');
    const second = create();
    await second.start();
    await until('it is carried on', 15_000, () =>
      second.log.join('').includes('outlived the daemon'),
    );
    await letGo(second, run);
    expect(await ended(run)).toMatchObject({ status: 'completed' });
    expect(await world.result(run)).toBe('"held"');
  });

  it('runs as a process of its own until SIGTERM, then undoes everything, and prints no secret', async () => {
    const alpha = create();
    const child = await alpha.spawn();
    const run = await start('echo');
    expect(await ended(run)).toMatchObject({ status: 'completed' });
    child.kill('SIGTERM');
    await until('the process ends', 20_000, () => child.exitCode !== null);
    expect(child.exitCode).toBe(0);
    expect(await alpha.held()).toEqual([]);
    expect(alpha.log.join('')).not.toContain(node.apiKey);
    expect(alpha.log.join('')).not.toMatch(/eyJ[\w-]+\./);
  });

  it('answers on its control socket, and a second daemon of the same node changes nothing', async () => {
    const alpha = create();
    await alpha.start();
    const client = createDaemonClient(alpha.context.runDir, 'alpha');
    expect((await client.status()).node).toMatchObject({ id: node.id, name: 'alpha' });
    const network = await client.network();
    expect(network.uplink).toBe(names.uplink(SCOPE, 'alpha'));
    expect(network.vpnClient.running).toBe(true);
    const before = await alpha.held();
    await expect(create().start()).rejects.toMatchObject({ code: 'V6_NODE_ALREADY_RUNNING' });
    expect(await alpha.held()).toEqual(before);
  });

  it('has its uplink and its slots again when somebody deletes their bridges', async () => {
    const alpha = create();
    const daemon = await alpha.start();
    const held = await alpha.held();
    const both = [names.uplink(SCOPE, 'alpha'), names.slot(SCOPE, 'alpha', 0)];
    const state = async () => Promise.all(both.map((name) => engine.networks.find(name)));
    const before = await state();
    for (const network of before)
      await execa('ip', ['link', 'delete', network?.bridge ?? ''], { timeout: 5000 });
    const isWhole = async (): Promise<boolean> => {
      const links = (await execa('ip', ['-o', 'link'])).stdout;
      const now = await state();
      const isAsBefore = (at: number) =>
        JSON.stringify(now[at]?.containers) === JSON.stringify(before[at]?.containers);
      return now.every((network, at) => links.includes(`${network?.bridge}:`) && isAsBefore(at));
    };
    await until('bridges and members are as before', 15_000, isWhole);
    const run = await start('version');
    expect(await ended(run)).toMatchObject({ status: 'completed' });
    expect(daemon.status().network?.failing).toEqual([]);
    // The slot that the run had is cleaned, and one more than the spare ones stays for a while.
    expect(await alpha.held()).toEqual(expect.arrayContaining([...held]));
  });

  it('has a code for a refused key and for an absent server, and leaves nothing', async () => {
    const refused = create({ apiKey: '3f2c2d9a-7b1e-4c89-9a55-0d6f1b2a3c4d' });
    await expect(refused.start()).rejects.toMatchObject({ code: 'V6_AUTH_API_KEY' });
    await expect(create({ port: 1 }).start()).rejects.toMatchObject({
      code: 'V6_SERVER_UNREACHABLE',
    });
    const engineRange = (await engine.networks.find('bridge'))?.subnets[0];
    const overlap = create({ config: [`isolated_range: ${engineRange}`] });
    await expect(overlap.start()).rejects.toMatchObject({ code: 'V6_NET_OVERLAP' });
    expect(await refused.held()).toEqual([]);
  });
});

describe('a node with VPN', () => {
  let lab: VpnLab;
  let relay: CutRelay;
  beforeAll(async () => {
    lab = await VpnLab.open('nodetest');
    await writeAddresses(lab, 1);
    await lab.startServer();
    relay = await CutRelay.start(world.port);
  });
  afterAll(async () => {
    await relay?.stop();
    await lab?.remove();
  });

  const connected = async (): Promise<TestNodeDaemon> => {
    const alpha = create({
      port: relay.port,
      config: [
        'isolated_range: 10.205.0.0/24',
        `uplink_network: ${lab.uplink}`,
        `vpn_subnet: ${VPN_SUBNET}`,
      ],
    });
    const file = path.join(alpha.context.dataDir, 'vpn', 'vpn-config.ovpn.conf');
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, await lab.clientConfig('node-1'), { mode: 0o600 });
    const daemon = await alpha.start();
    expect(await daemon.verdict(30_000)).toMatchObject({
      state: 'connected',
      rung: 'existing',
      portalCalls: 0,
      vpnAddress: lab.vpnAddress(1),
    });
    return alpha;
  };

  it('lets an algorithm reach its own registered address with its first act', async () => {
    const alpha = await connected();
    const run = await start('self');
    expect(await ended(run)).toMatchObject({ status: 'completed' });
    expect(await world.result(run)).toBe('"hello"');
    await alpha.daemon?.stop();
    expect(await world.ask('GET', `/node/${node.id}`)).toMatchObject({ ip: null });
    expect(await alpha.held()).toEqual([]);
    // Stopping keeps the lease: the next start needs no portal.
    await connected();
  });

  it('makes one container for a task and runs no program in any other, from its start to its end', async () => {
    await connected();
    const watch = await new EngineApi().watch(`${LABEL.scope}=${SCOPE}`);
    const seen = (action: string) =>
      watch.events.filter(({ Type, Action }) => Type === 'container' && Action.startsWith(action));
    // The probe works: this one it sees.
    await engine.containers.exec(names.vpnClient('alpha', SCOPE), ['true']);
    await until('the exec is seen', 15_000, () => seen('exec_die').length === 1);
    watch.clear();
    const run = await start('self');
    expect(await ended(run)).toMatchObject({ status: 'completed' });
    await until('its container is gone', 10_000, () => seen('destroy').length > 0);
    watch.stop();
    expect(seen('create')).toHaveLength(1);
    expect(seen('exec_create')).toEqual([]);
  });

  it('calls a run active, and so shows its address to others, only when its port listens', async () => {
    const alpha = await connected();
    const run = await start('late');
    const pid = async () => (await algorithm(run))?.pid ?? 0;
    await until('the container runs', RUN_LIMIT_MS, pid, (found) => found > 0);
    expect(await readListeningPorts(await pid())).not.toContain('tcp/8888');
    expect((await world.run(run)).status).toBe('initializing');
    await letGo(alpha, run);
    const isActive = async () => (await world.run(run)).status === 'active';
    await until('it is active', RUN_LIMIT_MS, isActive);
    expect(await readListeningPorts(await pid())).toContain('tcp/8888');
  });

  it('starts no container before the server has acknowledged the registration', async () => {
    const alpha = await connected();
    relay.cutAt(/^POST \/api\/port$/);
    const run = await start('self');
    await until('the server is cut off', RUN_LIMIT_MS, () => relay.isCut);
    const asked = () => relay.seen.filter((line) => line.startsWith('DELETE /api/port')).length;
    const before = asked();
    await until('it asks again', 30_000, () => asked() >= before + 2);
    expect(alpha.daemon?.status().runs).toMatchObject([{ run, state: 'registering' }]);
    expect(await algorithm(run)).toBeUndefined();
    relay.restore();
    expect(await ended(run)).toMatchObject({ status: 'completed' });
    expect(await world.result(run)).toBe('"hello"');
  });

  it('starts a run without tunnel with a line in its log, and registers it when the tunnel is up', async () => {
    const alpha = await connected();
    await engine.containers.stop(lab.serverName, 1);
    const status = () => alpha.daemon?.status().vpn.state;
    await until('the tunnel is down', 60_000, status, (state) => state !== 'connected');
    const run = await start('hold');
    const isActive = async () => (await world.run(run)).status === 'active';
    await until('it runs', RUN_LIMIT_MS, isActive);
    expect((await world.run(run)).log).toContain('tunnel of this node is down');
    expect((await world.run(run)).ports).toEqual([]);
    await engine.containers.start(lab.serverName);
    const ports = async () => (await world.run(run)).ports as unknown[];
    await until('it is registered', 90_000, ports, (list) => list.length === 1);
    await letGo(alpha, run);
    expect(await ended(run)).toMatchObject({ status: 'completed' });
  });
});

/** Makes the file that the algorithm of a run waits for. */
async function letGo({ context }: TestNodeDaemon, run: number): Promise<void> {
  const folder = path.join(context.dataDir, 'data', `tmp-${String(run).padStart(9, '0')}`);
  await writeFile(path.join(folder, 'go'), '');
}
