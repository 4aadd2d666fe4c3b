import type { ChildProcess } from 'node:child_process';
import { readdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/core/engine/engine.ts';
import { names } from '../../src/core/labels.ts';
import { TestCoordination, type TestNode } from '../support/coordination.ts';
import { CutRelay } from '../support/cut-relay.ts';
import { dockerSandbox } from '../support/docker.ts';
import { hasEnded } from '../support/name-spaces.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { buildTestAlgorithm, TestNodeDaemon } from '../support/test-node.ts';
import { until } from '../support/wait.ts';

const SCOPE = 'demo-crash';
const IMAGE = 'v6-test-crash-algorithm:1';
const LIMIT_MS = 30_000;
/** Says something, and ends with the status that the test writes down. */
const PROGRAM = String.raw`
d=$(echo /mnt/data/task-*); echo begun
while [ ! -e /mnt/tmp/go ]; do sleep 0.1; done
printf '"held"' > $d/output; echo ended; exit $(cat /mnt/tmp/go)
`;

let engine: Engine;
let vpnImage: string;
let folder: TempFolder;
let world: TestCoordination;
let relay: CutRelay;
let node: TestNode;
let alpha: TestNodeDaemon;
let daemon: ChildProcess | undefined;

const start = async (): Promise<number> =>
  (await world.createTask(IMAGE, [node.organization])).runs[0] ?? 0;
const container = (run: number) => engine.containers.find(names.algorithm('alpha', run, SCOPE));
const isActive = (run: number) => async () => (await world.run(run)).status === 'active';
const ended = (run: number) =>
  until(
    `run ${run} ends`,
    LIMIT_MS,
    () => world.run(run),
    ({ finished_at }) => finished_at !== null,
  );

async function letEnd(run: number, status: number): Promise<void> {
  const temporary = path.join(alpha.context.dataDir, 'data', `tmp-${String(run).padStart(9, '0')}`);
  await writeFile(path.join(temporary, 'go.new'), String(status));
  await rename(path.join(temporary, 'go.new'), path.join(temporary, 'go'));
}

const isOver = (): boolean => daemon === undefined || hasEnded(daemon);

async function kill(): Promise<void> {
  daemon?.kill('SIGKILL');
  await until('the daemon is gone', 5000, isOver);
}

/** As `v6 node stop` ends it: nothing of the node stays on the host. */
async function end(): Promise<void> {
  daemon?.kill('SIGTERM');
  await until('the daemon has ended', 60_000, isOver);
}

/** When the engine saw the algorithm end. */
async function endOf(run: number): Promise<Date> {
  const state = await until(
    'the algorithm ends',
    LIMIT_MS,
    () => container(run),
    (found) => found?.state === 'exited',
  );
  return state?.finishedAt ?? new Date(0);
}

/** Nothing of the run is on this host any more. */
async function isGone(run: number): Promise<void> {
  await until('its container is gone', LIMIT_MS, async () => (await container(run)) === undefined);
  await until('its files are gone', LIMIT_MS, async () => {
    const { dataDir } = alpha.context;
    const left = [
      ...(await readdir(path.join(dataDir, 'data')).catch(() => [])),
      ...(await readdir(path.join(dataDir, 'runs')).catch(() => [])),
    ];
    return left.length === 0;
  });
}

beforeAll(async () => {
  ({ engine, image: vpnImage } = await dockerSandbox('crash'));
  folder = await tempFolder();
  await buildTestAlgorithm(engine, path.join(folder.path, 'image'), vpnImage, IMAGE, PROGRAM);
  world = await TestCoordination.start(path.join(folder.path, 'server'));
  relay = await CutRelay.start(world.port);
  const [first] = await world.createNodes(['alpha', 'beta']);
  if (first === undefined) throw new Error('no node');
  node = first;
});
beforeEach(async () => {
  relay.restore();
  alpha = new TestNodeDaemon({
    name: 'alpha',
    scope: SCOPE,
    root: folder.path,
    engine,
    vpnImage,
    apiKey: node.apiKey,
    port: relay.port,
    config: ['isolated_range: 10.212.0.0/24'],
  });
  daemon = await alpha.spawn();
});
afterEach(async () => {
  try {
    if (!isOver()) await end();
  } finally {
    await alpha.clean();
  }
});
afterAll(async () => {
  await relay?.stop();
  await world?.server.stop();
  await engine?.images.remove(IMAGE);
  await folder?.remove();
});

describe('a daemon that is killed', () => {
  it('while a run starts: that run has failed, says so, and is not started', async () => {
    relay.cutAt(/^POST \/api\/token\/container/);
    const run = await start();
    await until('it asks for a token', LIMIT_MS, () => relay.isCut);
    await kill();
    relay.restore();
    daemon = await alpha.spawn();
    const { status, log } = await ended(run);
    expect(status).toBe('failed');
    expect(log).toContain('before it had started the algorithm');
    await isGone(run);
  });

  it.each([
    [0, 'completed'],
    [3, 'crashed'],
  ] as const)(
    'while an algorithm runs that ends with %i meanwhile: it is %s, with log, result and moment',
    async (exit, truth) => {
      const run = await start();
      await until('it runs', LIMIT_MS, isActive(run));
      await kill();
      await letEnd(run, exit);
      const at = await endOf(run);
      daemon = await alpha.spawn();
      const { status, log, finished_at } = await ended(run);
      expect({ status, log }).toEqual({ status: truth, log: 'begun\nended\n' });
      expect(await world.result(run)).toBe('"held"');
      expect(Math.abs(Date.parse(`${String(finished_at)}Z`) - at.getTime())).toBeLessThan(1000);
      await isGone(run);
    },
  );

  it('while it sends a result: the next one sends it, once', async () => {
    const run = await start();
    await until('it runs', LIMIT_MS, isActive(run));
    relay.cutAt(new RegExp(`^PATCH /api/run/${run}$`));
    await letEnd(run, 0);
    await until('it tells the end', LIMIT_MS, () => relay.isCut);
    await until(
      'its container is gone',
      LIMIT_MS,
      async () => (await container(run)) === undefined,
    );
    expect((await world.run(run)).finished_at).toBeNull();
    await kill();
    relay.restore();
    daemon = await alpha.spawn();
    expect(await ended(run)).toMatchObject({ status: 'completed', log: 'begun\nended\n' });
    expect(await world.result(run)).toBe('"held"');
    await isGone(run);
  });

  it('and a run that its user kills meanwhile: the next one removes what is left of it', async () => {
    const run = await start();
    await until('it runs', LIMIT_MS, isActive(run));
    await kill();
    const { id } = (await world.run(run)).task as { id: number };
    await world.ask('POST', '/kill/task', { id });
    expect((await container(run))?.state).toBe('running');
    daemon = await alpha.spawn();
    await isGone(run);
    expect(await world.run(run)).toMatchObject({ status: 'killed by user' });
  });
});
