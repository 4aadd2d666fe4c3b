import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { roomsOf } from '../../src/server/socket/rooms.ts';
import { createTask, runOf } from '../support/server-app.ts';
import { createSocketWorld, hears, payloads, type SocketWorld } from '../support/socket-world.ts';
import { until } from '../support/wait.ts';

/** For events that must not come: what was sent before on the same connection has arrived by then. */
const QUIET_MS = 300;
const LIMIT_MS = 10_000;

let world: SocketWorld;

beforeEach(async () => {
  world = await createSocketWorld();
});

afterEach(async () => {
  await world.close();
});

const isOnline = async (id: number): Promise<boolean | undefined> =>
  (await world.store.nodes.find(id))?.isOnline;

/** A node's event with its acknowledgement. */
const send = (
  heard: { socket: { timeout(ms: number): unknown } },
  event: string,
  payload: unknown,
) =>
  (heard.socket.timeout(5000) as { emitWithAck(...args: unknown[]): Promise<unknown> }).emitWithAck(
    event,
    payload,
  );

describe('Unauthenticated sockets are accepted and kept open for ever', () => {
  it.each(['polling', 'websocket'] as const)(
    'ours are refused or cut, over %s',
    async (transport) => {
      const none = world.open(undefined, transport);
      await hears(none, 'connect_error');
      const bad = world.open('not.a.token', transport);
      await hears(bad, 'invalid_token');
      await hears(bad, 'disconnect');
      expect(world.sockets.count()).toStrictEqual([]);
    },
  );
});

describe('A token is checked once', () => {
  it('a socket outlives token expiry: ours is told, and cut after a while', async () => {
    await world.clock.turn(3_599_000);
    const node = await world.connect(world.northNode.token);
    await hears(node, 'expired_token');
    expect(node.names.indexOf('expired_token')).toBeGreaterThan(node.names.indexOf('sync'));
  });

  it('a socket outlives the deletion of its user: ours ends with it', async () => {
    const vera = await world.watch(world.vera.token);
    const { status } = await world.call('DELETE', `/user/${world.vera.id}`, {
      token: world.root.token,
    });
    expect(status).toBe(200);
    await hears(vera, 'disconnect');
  });

  it('a socket outlives removed rights: ours hears nothing of a collaboration that its organization left', async () => {
    const nora = await world.watch(world.nora.token);
    const path = `/collaboration/${world.trial}/organization`;
    const { status } = await world.call('DELETE', path, {
      token: world.root.token,
      body: { id: world.north },
    });
    expect(status).toBe(200);
    // Rooms are renewed in the background.
    await setTimeout(5 * QUIET_MS);
    world.hub.publish({ type: 'run-changed', collaborationId: world.trial, runId: 1 });
    world.hub.publish({ type: 'run-changed', collaborationId: world.other, runId: 2 });
    await hears(nora, 'status_update');
    expect(payloads(nora, 'status_update')).toStrictEqual([{ run_id: 2 }]);
  });

  it('rooms are not updated when an organization joins a collaboration: ours are', async () => {
    const enno = await world.watch(world.enno.token);
    const path = `/collaboration/${world.trial}/organization`;
    const { status } = await world.call('POST', path, {
      token: world.root.token,
      body: { id: world.east },
    });
    expect(status).toBe(200);
    await until('the new room', LIMIT_MS, () => {
      world.hub.publish({ type: 'run-changed', collaborationId: world.trial, runId: 3 });
      return enno.names.includes('status_update');
    });
  });
});

describe('`node-online/offline` reach nodes of other collaborations through `all_nodes`, twice for shared rooms', () => {
  it('ours reach users of the collaboration once, and no other node', async () => {
    const east = await world.connect(world.eastNode.token);
    const south = await world.connect(world.southNode.token);
    const nora = await world.watch(world.nora.token);
    const enno = await world.watch(world.enno.token);
    const north = await world.connect(world.northNode.token);
    await hears(nora, 'node-online');
    north.socket.disconnect();
    await until('the end of the socket', LIMIT_MS, () =>
      world.sockets.count().some(({ kind, count }) => kind === 'node' && count === 2),
    );
    await world.clock.turn(1000);
    await hears(nora, 'node-offline');
    await setTimeout(QUIET_MS);
    const about = {
      id: world.northNode.node.id,
      name: world.northNode.node.name,
      org_id: world.north,
    };
    expect(payloads(nora, 'node-online')).toStrictEqual([about]);
    expect(payloads(nora, 'node-offline')).toStrictEqual([about]);
    for (const other of [east, south, enno])
      expect(
        [...payloads(other, 'node-online'), ...payloads(other, 'node-offline')].filter(
          (one) => (one as { id: number }).id === about.id,
        ),
      ).toStrictEqual([]);
  });
});

describe('What a node sends is trusted', () => {
  /** A run of the other organization, one of another collaboration's node, and one that is not there. */
  async function runs() {
    const task = await createTask(world);
    return {
      own: await runOf(world, task, world.north),
      foreign: await runOf(world, task, world.south),
      task,
      absent: 999_999,
    };
  }

  it('a node can send `algorithm_status_change` into any collaboration and for any run: ours for its own, with ids from the database', async () => {
    const { own, foreign, task } = await runs();
    const south = await world.connect(world.southNode.token);
    const enno = await world.watch(world.enno.token);
    const north = await world.connect(world.northNode.token);
    const lie = {
      status: 'failed',
      collaboration_id: world.other,
      node_id: 4,
      organization_id: world.east,
      task_id: 77,
      parent_id: 5,
    };
    expect(await send(north, 'algorithm_status_change', { ...lie, run_id: foreign })).toMatchObject(
      { status: 404 },
    );
    expect(await send(north, 'algorithm_status_change', { ...lie, run_id: own })).toMatchObject({
      status: 200,
    });
    await hears(south, 'algorithm_status_change');
    expect(payloads(south, 'algorithm_status_change')).toMatchObject([
      {
        run_id: own,
        task_id: task,
        collaboration_id: world.trial,
        organization_id: world.north,
        node_id: world.northNode.node.id,
        parent_id: null,
      },
    ]);
    expect(enno.names).not.toContain('algorithm_status_change');
  });

  it('a node can append to the log of any run: ours to its own', async () => {
    const { own, foreign } = await runs();
    const north = await world.connect(world.northNode.token);
    expect(await send(north, 'algorithm_log', { run_id: foreign, log: 'forged' })).toMatchObject({
      status: 404,
    });
    expect(await send(north, 'algorithm_log', { run_id: own, log: 'a line' })).toMatchObject({
      status: 200,
    });
    expect((await world.store.runs.find(foreign))?.log).toBeNull();
    expect((await world.store.runs.find(own))?.log).toBe('a line');
  });

  it('an unknown `run_id` raises: ours is ignored, and the socket goes on', async () => {
    const { own, absent } = await runs();
    const north = await world.connect(world.northNode.token);
    for (const event of ['algorithm_status_change', 'algorithm_log'])
      expect(
        await send(north, event, { run_id: absent, status: 'active', log: 'x' }),
      ).toMatchObject({ status: 404 });
    expect(await send(north, 'algorithm_log', { run_id: own, log: 'on' })).toMatchObject({
      status: 200,
    });
    expect(world.lines.filter((line) => line.includes('failed'))).toStrictEqual([]);
  });
});

describe('Who is online', () => {
  it('two sockets of one node, closing one marks it offline and wipes its config: ours stays online with its config', async () => {
    const { id } = world.northNode.node;
    const first = await world.connect(world.northNode.token);
    await world.connect(world.northNode.token);
    expect(await send(first, 'node_info_update', { vpn: 'on' })).toMatchObject({ status: 200 });
    first.socket.disconnect();
    await until('one socket', LIMIT_MS, () => world.sockets.count()[0]?.count === 1);
    await world.clock.turn(60_000);
    expect(await world.store.nodes.find(id)).toMatchObject({
      isOnline: true,
      config: [{ key: 'vpn', value: 'on' }],
    });
  });

  it('a crash of the server leaves nodes "online": ours are offline at the next start, without their config', async () => {
    const { id } = world.northNode.node;
    await world.store.nodes.update(id, { isOnline: true, config: [{ key: 'vpn', value: 'on' }] });
    await world.store.replicas.join({ id: 'after-the-crash', keyMark: '' }, { isAlone: true });
    expect(await world.store.nodes.find(id)).toMatchObject({ isOnline: false, config: [] });
  });

  it('the worker never emits `node-offline` and never clears config: a replica that is gone is announced', async () => {
    const { id } = world.northNode.node;
    const gone = { id: 'gone', keyMark: '' };
    await world.store.replicas.join(gone, { isAlone: false });
    await world.store.nodes.update(id, { config: [{ key: 'vpn', value: 'on' }] });
    await world.store.replicas.connect(gone, id, world.clock.now());
    const nora = await world.watch(world.nora.token);
    await setTimeout(20);
    expect(await world.presence.forgetSilent(0)).toBe(1);
    await hears(nora, 'node-offline');
    expect(await world.store.nodes.find(id)).toMatchObject({ isOnline: false, config: [] });
  });

  it('the worker stops for that round when an online node has no `last_seen`: ours needs none', async () => {
    const { id } = world.northNode.node;
    await world.store.nodes.update(id, { isOnline: true });
    expect((await world.store.nodes.find(id))?.lastSeenAt).toBeNull();
    await world.store.replicas.join({ id: 'next', keyMark: '' }, { isAlone: true });
    expect(await isOnline(id)).toBe(false);
  });
});

describe('Events and what is stored', () => {
  it('`status_update` goes out before the change is stored: who reads at our event sees the new state', async () => {
    const task = await createTask(world);
    const run = await runOf(world, task, world.north);
    const nora = await world.watch(world.nora.token);
    const seen = new Promise<unknown>((resolve) => {
      nora.socket.once('status_update', () => {
        resolve(world.store.runs.find(run));
      });
    });
    const { status } = await world.call('PATCH', `/run/${run}`, {
      token: world.northNode.token,
      body: { status: 'active' },
    });
    expect(status).toBe(200);
    expect(await seen).toMatchObject({ status: 'active' });
  });

  it('kill messages are fire-and-forget: a node that was away hears of ours when it comes back', async () => {
    const task = await createTask(world);
    const run = await runOf(world, task, world.north);
    await world.call('PATCH', `/run/${run}`, {
      token: world.northNode.token,
      body: { status: 'active', started_at: world.clock.now().toISOString() },
    });
    const { status } = await world.call('POST', '/kill/task', {
      token: world.nora.token,
      body: { id: task },
    });
    expect(status).toBe(200);
    const north = await world.connect(world.northNode.token);
    await hears(north, 'kill_containers');
    expect(payloads(north, 'kill_containers')).toMatchObject([
      { collaboration_id: world.trial, kill_list: [{ run_id: run, task_id: task }] },
    ]);
  });

  it('emits go to `/admin`, which no client can join: ours have no such room, and the namespace is refused', async () => {
    const { io } = await import('socket.io-client');
    const admin = io(`http://127.0.0.1:${world.port}/admin`, {
      reconnection: false,
      forceNew: true,
      extraHeaders: { authorization: `Bearer ${world.root.token}` },
    });
    const refused = await new Promise<string>((resolve) => {
      admin.on('connect_error', (error) => resolve(error.message));
      admin.on('connect', () => resolve('connected'));
    });
    admin.close();
    expect(refused).toBe('Invalid namespace');
    const rooms = roomsOf({
      kind: 'node',
      id: 1,
      organizationId: 2,
      collaborationId: 3,
      node: world.northNode.node,
    });
    expect(rooms).toStrictEqual(['account_1', 'collaboration_3', 'collaboration_3_organization_2']);
  });
});
