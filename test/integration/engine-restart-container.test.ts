import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import { hostFiles } from '../../src/adapters/host-files/host-files.ts';
import { names } from '../../src/core/labels.ts';
import { composeImages } from '../../src/images/compose.ts';
import { imageReferences } from '../../src/images/references.ts';
import { foldersOf, planDaemonContainer } from '../../src/node/host/daemon-container.ts';
import { TestCoordination } from '../support/coordination.ts';
import { startPrivateEngine } from '../support/private-engine.ts';
import { relayServer } from '../support/server-relay.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { buildTestAlgorithm, TestNodeDaemon } from '../support/test-node.ts';
import { until } from '../support/wait.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const SCOPE = 'demo-incont';
const IMAGE = 'v6-test-restart-container:1';

let folder: TempFolder;
let world: TestCoordination;

beforeAll(async () => {
  folder = await tempFolder();
  await (await composeImages(ROOT, await connectEngine())).build({ only: ['vpn', 'runtime'] });
  world = await TestCoordination.start(path.join(folder.path, 'server'));
}, 300_000);
afterAll(async () => {
  await world?.server.stop();
  await folder?.remove();
});

it('a daemon in a container finds an engine again that has made itself another socket, and its run goes on', async () => {
  await using machine = await startPrivateEngine({ iptables: 'nft', liveRestore: true });
  const images = imageReferences(ROOT);
  await machine.load([images.vpn, images.runtime]);
  const engine = await connectEngine({ socketPath: machine.socket });
  await buildTestAlgorithm(engine, path.join(folder.path, 'image'), images.vpn, IMAGE);
  const relay = await relayServer(machine, world.port);
  const [of] = await world.createNodes(['alpha', 'beta']);
  const { context } = new TestNodeDaemon({
    name: 'alpha',
    scope: SCOPE,
    root: folder.path,
    engine,
    vpnImage: images.vpn,
    apiKey: of?.apiKey ?? '',
    port: world.port,
  });
  for (const made of foldersOf(context)) await hostFiles.ensureFolder(made);
  const config = [
    `api_key: ${of?.apiKey}`,
    'server_url: http://127.0.0.1',
    `port: ${world.port}`,
    'api_path: /api',
    'encryption: {enabled: false}',
    'isolated_range: 10.205.0.0/24',
    'policies: {require_algorithm_pull: false}',
  ];
  await writeFile(context.configFile, `${config.join('\n')}\n`);
  const folders = {
    HOME: '/tmp',
    XDG_DATA_HOME: path.join(folder.path, 'share'),
    XDG_RUNTIME_DIR: path.join(folder.path, 'r'),
  };
  const spec = planDaemonContainer({
    context,
    images,
    engineSocket: machine.socket,
    user: { uid: 1000, folders },
  });
  await engine.containers.start(await engine.containers.create(spec));
  const log = () => engine.containers.logs(spec.name);
  const starts = (text: string): number => text.split('The node has started').length - 1;
  await until('the node has started', 90_000, log, (text) => starts(text) === 1);

  const { runs } = await world.createTask(IMAGE, [of?.organization ?? 0], { method: 'hold' });
  const run = runs[0] ?? 0;
  const status = async () => (await world.run(run)).status;
  await until('it runs', 30_000, status, (is) => is === 'active');
  const pid = (await engine.containers.find(names.algorithm('alpha', run, SCOPE)))?.pid;
  await machine.restart();
  await until(
    'the node has started again',
    60_000,
    () => log().catch(() => ''),
    (text) => starts(text) === 2,
  );
  expect((await engine.containers.find(names.algorithm('alpha', run, SCOPE)))?.pid).toBe(pid);
  const temporary = path.join(context.dataDir, 'data', `tmp-${String(run).padStart(9, '0')}`);
  await writeFile(path.join(temporary, 'go'), '');
  await until('it ends', 30_000, status, (is) => is !== 'active');
  expect(await world.run(run)).toMatchObject({ status: 'completed' });
  expect(await world.result(run)).toBe('"held"');
  relay.close();
}, 480_000);
