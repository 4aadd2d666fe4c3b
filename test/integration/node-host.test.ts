import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createDaemonClient } from '../../src/adapters/http/daemon-client.ts';
import { type Context, contextFor } from '../../src/core/context.ts';
import { isV6Error } from '../../src/core/errors.ts';
import { LABEL, names } from '../../src/core/labels.ts';
import {
  composeHostFirewall,
  composeNodeHost,
  type NodeHost,
  nodeImages,
} from '../../src/node/compose-host.ts';
import { readNodeConfig, type StartedNode, startNode } from '../../src/node/host/start-node.ts';
import { stopNode } from '../../src/node/host/stop-node.ts';
import { TestCoordination } from '../support/coordination.ts';

const ROOT = path.join(import.meta.dirname, '../..');
const NAME = 'it-host';
const BUILT_ON_OURS = 'site/built-on-v6-vpn:1';

let home: string;
let coordination: TestCoordination;
let apiKey: string;
let host: NodeHost;
let context: Context;

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-node-host-'));
  coordination = await TestCoordination.start(path.join(home, 'server'));
  const [node] = await coordination.createNodes([NAME]);
  apiKey = node?.apiKey ?? '';
  host = await composeNodeHost(ROOT);
  context = contextFor('node', NAME, 'user', { home, isRoot: true });
  await mkdir(path.dirname(context.configFile), { recursive: true });
});

afterAll(async () => {
  await coordination?.goAway();
  await rm(home, { recursive: true, force: true });
});

afterEach(async () => {
  // A test that failed leaves it; it has the labels of ours.
  await host.engine.images.remove(BUILT_ON_OURS);
  await stopNode(host, context).catch((error: unknown) => {
    if (!isV6Error(error, 'V6_NODE_NOT_RUNNING')) throw error;
  });
});

async function configure(...lines: readonly string[]): Promise<void> {
  const { port } = coordination;
  const text = [
    `api_key: ${apiKey}`,
    'server_url: http://127.0.0.1',
    `port: ${port}`,
    'api_path: /api',
    'spare_slots: 1',
    ...lines,
  ];
  await writeFile(context.configFile, `${text.join('\n')}\n`);
}

async function start(): Promise<StartedNode> {
  await readNodeConfig(host.files, context);
  return startNode(host, {
    context,
    images: nodeImages(ROOT),
    engineSocket: host.engineSocket,
    user: { uid: 0, folders: { HOME: home } },
  });
}

/** An algorithm on top of the VPN client's image: it has the labels of ours, another user, and is newer. */
async function buildOnOurs(): Promise<void> {
  const folder = path.join(home, 'built-on-ours');
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'Dockerfile'), `FROM ${nodeImages(ROOT).vpn}\nUSER 65534\n`);
  await host.engine.images.build({ folder, tags: [BUILT_ON_OURS], labels: {} });
}

const NOTHING = { containers: [], networks: [], isFolderThere: false, hasRules: false };

/** What there is of this node on the host; other nodes may come and go meanwhile. */
async function left() {
  const labels = { [LABEL.node]: NAME };
  const { engine, files } = host;
  const firewall = await composeHostFirewall(engine, { name: NAME, scope: 'user' }, ROOT);
  const { owners } = await firewall.inspect();
  await firewall.close();
  return {
    containers: (await engine.containers.list(labels)).map(({ name }) => name),
    networks: (await engine.networks.list(labels)).map(({ name }) => name),
    isFolderThere: await files.isThere(context.runDir),
    hasRules: owners.includes(`user/${NAME}`),
  };
}

describe('a node as a container of the runtime image', () => {
  it('starts, answers on its socket, and is not started twice', async () => {
    await configure();
    const started = await start();
    expect(started.vpn.state).toBe('off');
    const daemon = createDaemonClient(context.runDir, NAME);
    expect(await daemon.status()).toMatchObject({
      server: { connected: expect.any(Boolean) as boolean },
    });
    expect((await daemon.network()).hostRules).toContain(`user/${NAME}`);
    await expect(start()).rejects.toMatchObject({ code: 'V6_NODE_ALREADY_RUNNING' });
  });

  it('goes on without VPN where the server gives none, with a warning', async () => {
    await configure('vpn_subnet: 10.232.0.0/16');
    const { vpn } = await start();
    expect(vpn).toMatchObject({ state: 'without', warning: { code: 'V6_VPN_OFF' } });
    expect(await stopNode(host, context)).toMatchObject({
      isClean: true,
      removed: { containers: [], networks: [] },
      remains: { hasCredential: false },
    });
    expect(await left()).toEqual(NOTHING);
  });

  it('surfaces the refused API key of a daemon that ended at once, and leaves nothing', async () => {
    const right = apiKey;
    apiKey = '11111111-2222-4333-8444-555555555555';
    await configure();
    apiKey = right;
    await expect(start()).rejects.toMatchObject({
      code: 'V6_AUTH_API_KEY',
      entry: { exitCode: 77 },
    });
    expect(await left()).toEqual(NOTHING);
  });

  it('removes what a killed daemon left', async () => {
    await configure();
    await start();
    await buildOnOurs();
    // Removed by force: the engine would start a daemon again that was only killed.
    const container = names.node(NAME, 'user');
    await host.engine.containers.remove(container);
    const stopped = await stopNode(host, context);
    expect(stopped.isClean).toBe(false);
    expect(stopped.removed.containers).toContain(names.vpnClient(NAME, 'user'));
    expect(await left()).toEqual(NOTHING);
  });
});
