import { cp, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import { containerOf, createTask } from '../support/server-app.ts';
import { caller, type Heard, listen } from '../support/server-process.ts';
import { createSocketWorld, hears, payloads, type SocketWorld } from '../support/socket-world.ts';
import { inTempFolder } from '../support/temp-folder.ts';
import { until } from '../support/wait.ts';

/** For events that must not come. */
const QUIET_MS = 200;
const LIMIT_MS = 10_000;

let world: SocketWorld | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

/** Something happens in Trial; what this socket has heard of such by a moment later. */
async function countAfterOne(from: SocketWorld, heard: Heard): Promise<number> {
  from.hub.publish({ type: 'run-changed', collaborationId: from.trial, runId: 1 });
  await setTimeout(QUIET_MS);
  return payloads(heard, 'status_update').length;
}

/** Rooms are renewed in the background: soon it hears of nothing any more. */
const fallsSilent = (from: SocketWorld, heard: Heard) =>
  until('silence', LIMIT_MS, async () => {
    const before = payloads(heard, 'status_update').length;
    return (await countAfterOne(from, heard)) === before;
  });

const startsHearing = (from: SocketWorld, heard: Heard) =>
  until('an event', LIMIT_MS, async () => {
    const before = payloads(heard, 'status_update').length;
    return (await countAfterOne(from, heard)) > before;
  });

describe('upstream weakness: a token of a socket is looked at once', () => {
  it('a socket outlives rights that were taken from its user: ours hears nothing more', async () => {
    world = await createSocketWorld();
    const nora = await world.watch(world.nora.token);
    await startsHearing(world, nora);
    const body = { roles: [], rules: [] };
    const { token } = world.root;
    const { status } = await world.call('PATCH', `/user/${world.nora.id}`, { token, body });
    expect(status).toBe(200);
    await fallsSilent(world, nora);
    expect(nora.names).not.toContain('disconnect');
  });

  it('a socket outlives the rules of a role that changed: ours follows them, both ways', async () => {
    const here = await createSocketWorld();
    world = here;
    const { token } = here.root;
    const rules = await here.call('GET', '/rule?no_pagination=1', { token });
    const receive = (rules.body.data as Record<string, unknown>[]).filter(
      ({ name, scope, operation }) =>
        name === 'event' && /^coll/i.test(String(scope)) && /^r/i.test(String(operation)),
    );
    expect(receive).toHaveLength(1);
    const ids = receive.map(({ id }) => id);
    const role = await here.call('POST', '/role', {
      token,
      body: { name: 'Listener', rules: ids, organization_id: here.north },
    });
    expect(role.status).toBe(201);
    const body = { roles: [role.body.id], rules: [] };
    await here.call('PATCH', `/user/${here.nora.id}`, { token, body });
    const nora = await here.watch(here.nora.token);
    await startsHearing(here, nora);
    const change = async (wanted: unknown): Promise<void> => {
      const changed = { token, body: { rules: wanted } };
      const answer = await here.call('PATCH', `/role/${Number(role.body.id)}`, changed);
      expect(answer.status).toBe(200);
    };
    await change([]);
    await fallsSilent(here, nora);
    await change(ids);
    await startsHearing(here, nora);
  });

  it('algorithms may connect, and stay: ours are refused', async () => {
    world = await createSocketWorld();
    const task = await createTask(world);
    const algorithm = world.open(await containerOf(world, world.northNode.token, task));
    await hears(algorithm, 'connect_error');
    expect(world.sockets.count()).toStrictEqual([]);
  });
});

const start = (dataDir: string): Promise<RunningServer> =>
  startServer({
    config: {
      ...parseServerConfig('uri: sqlite:///test.sqlite\nip: 127.0.0.1\n', 'test.yaml'),
      port: 0,
    },
    dataDir,
    logger: silentLogger,
  });

/** A node of a new server, and root's hands on it. */
async function addNode(server: RunningServer) {
  const password = (await readFile(server.passwordFile ?? '', 'utf8')).trim();
  const anybody = caller(server.url);
  const login = await anybody('POST', '/token/user', { username: 'root', password });
  const rootToken = String(login.body.access_token);
  const root = caller(server.url, rootToken);
  const organization = (await root('POST', '/organization', { name: 'North' })).body.id;
  const joint = { name: 'Trial', organization_ids: [organization], encrypted: false };
  const collaboration = (await root('POST', '/collaboration', joint)).body.id;
  const { body } = await root('POST', '/node', {
    organization_id: organization,
    collaboration_id: collaboration,
  });
  const nodeLogin = await anybody('POST', '/token/node', { api_key: body.api_key });
  const token = String(nodeLogin.body.access_token);
  return { rootToken, root, token, path: `/node/${Number(body.id)}` };
}

describe('upstream weakness: a server that crashes', () => {
  it('leaves nodes online with their configuration: ours begins without, from the files of that very moment', () =>
    inTempFolder(async (folder) => {
      const data = path.join(folder, 'data');
      const server = await start(data);
      const node = await addNode(server);
      const { socket } = listen(server.port, node.token, 'websocket');
      const read = async () => (await node.root('GET', node.path)).body;
      try {
        await until('the connection', LIMIT_MS, () => socket.connected);
        await socket.timeout(5000).emitWithAck('node_info_update', { vpn: 'on' });
        await until('online', LIMIT_MS, async () => (await read()).status === 'online');
        const image = path.join(folder, 'after-the-crash');
        await cp(data, image, { recursive: true });
        const again = await start(image);
        const { body } = await caller(again.url, node.rootToken)('GET', node.path);
        await again.stop();
        expect(body).toMatchObject({ status: 'offline', config: [] });
        expect(await read()).toMatchObject({ config: [{ key: 'vpn', value: 'on' }] });
      } finally {
        socket.close();
        await server.stop();
      }
    }));
});
