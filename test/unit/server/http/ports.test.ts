import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  containerOf,
  createTask,
  createWorld,
  IMAGE,
  INPUT,
  runOf,
  type World,
} from '../../../support/server-app.ts';

let world: World;
let task: number;
let north: number;
let south: number;
beforeEach(async () => {
  world = await createWorld();
  task = await createTask(world);
  north = await runOf(world, task, world.north);
  south = await runOf(world, task, world.south);
});
afterEach(() => world.close());

interface Address {
  readonly ip: string | null;
  readonly port: number;
  readonly organization_id: number;
}

const register = (run: number, port: unknown, token: string, more: object = {}) =>
  world.call('POST', '/port', { token, body: { run_id: run, port, ...more } });

async function addressesOf(token: string, query = ''): Promise<readonly Address[]> {
  const answer = await world.call('GET', `/vpn/algorithm/addresses${query}`, { token });
  expect(answer.status).toBe(200);
  return answer.body.addresses as readonly Address[];
}

const ports = async (token: string, query: string): Promise<readonly number[]> =>
  (await addressesOf(token, query)).map((address) => address.port);

/** Both nodes online with an address, both runs active, one port each. */
async function bringUp(): Promise<void> {
  const nodes = [world.northNode, world.southNode];
  for (const [at, { node, token }] of nodes.entries()) {
    await world.presence.connected(node.id);
    const ip = `10.76.0.${at + 5}`;
    await world.call('PATCH', `/node/${node.id}`, { token, body: { ip } });
    const run = at === 0 ? north : south;
    await register(run, 49_152, token, { label: 'com' });
    await world.call('PATCH', `/run/${run}`, { token, body: { status: 'active' } });
  }
}

describe('a port', () => {
  it('is registered with label and protocol; tcp is what upstream means', async () => {
    const answer = await register(north, 49_152, world.northNode.token, { label: 'com' });
    expect(answer.status).toBe(201);
    expect(answer.body).toStrictEqual({ id: 1, port: 49_152, label: 'com', protocol: 'tcp' });
    const udp = await register(north, 49_152, world.northNode.token, { protocol: 'udp' });
    expect(udp.body).toMatchObject({ label: null, protocol: 'udp' });
    const text = await register(north, '49153', world.northNode.token);
    expect(text.body.port).toBe(49_153);
  });

  it('belongs to one run of the node; the same once more is fine', async () => {
    await register(north, 49_152, world.northNode.token);
    const again = await register(north, 49_152, world.northNode.token, { label: 'new' });
    expect([again.status, again.body.id, again.body.label]).toStrictEqual([201, 1, 'new']);
    const second = await createTask(world, [world.north]);
    const other = await runOf(world, second, world.north);
    const conflict = await register(other, 49_152, world.northNode.token);
    expect([conflict.status, conflict.body.code]).toStrictEqual([400, 'V6_REQUEST_CONFLICT']);
    expect((await register(south, 49_152, world.southNode.token)).status).toBe(201);
  });

  it.each([0, 65_536, 'x', null])('cannot be %s', async (port) => {
    expect((await register(north, port, world.northNode.token)).status).toBe(400);
  });

  it('is of the own run only, and of one that exists and goes on', async () => {
    expect((await register(south, 49_152, world.northNode.token)).status).toBe(403);
    expect((await register(north, 49_152, world.northOther.token)).status).toBe(403);
    expect((await register(999, 49_152, world.northNode.token)).status).toBe(404);
    expect((await register(north, 49_152, world.nora.token)).status).toBe(403);
    const { token } = world.northNode;
    await world.call('PATCH', `/run/${north}`, { token, body: { status: 'failed' } });
    expect((await register(north, 49_152, token)).status).toBe(400);
  });

  it('goes when it is cleared, and with the end of its run', async () => {
    const { token } = world.northNode;
    await register(north, 49_152, token);
    expect((await world.call('DELETE', '/port', { token })).status).toBe(400);
    const foreign = await world.call('DELETE', `/port?run_id=${north}`, {
      token: world.southNode.token,
    });
    expect(foreign.status).toBe(403);
    expect((await world.call('DELETE', `/port?run_id=${north}`, { token })).status).toBe(200);
    expect((await world.call('DELETE', `/port?run_id=${north}`, { token })).status).toBe(200);
    await register(north, 49_152, token);
    await world.call('PATCH', `/run/${north}`, { token, body: { status: 'completed' } });
    const list = await world.call('GET', '/port', { token: world.nora.token });
    expect(list.body.data).toStrictEqual([]);
  });
});

describe('addresses of algorithms', () => {
  it('are those of the own task, with our protocol beside the fields of upstream', async () => {
    await bringUp();
    const token = await containerOf(world, world.northNode.token, task);
    expect(await addressesOf(token)).toStrictEqual([
      {
        ip: '10.76.0.5',
        port: 49_152,
        label: 'com',
        organization_id: world.north,
        task_id: task,
        parent_id: null,
        protocol: 'tcp',
      },
      {
        ip: '10.76.0.6',
        port: 49_152,
        label: 'com',
        organization_id: world.south,
        task_id: task,
        parent_id: null,
        protocol: 'tcp',
      },
    ]);
    const organizations = async (query: string) =>
      (await addressesOf(token, query)).map((address) => address.organization_id);
    expect(await organizations('?only_self=1')).toStrictEqual([world.north]);
    expect(await organizations('?only_siblings=True')).toStrictEqual([world.south]);
    expect(await organizations('?label=other')).toStrictEqual([]);
    expect(await organizations('?only_parent=1')).toStrictEqual([]);
    const old = 'only_children=False&only_parent=False&include_children=False&include_parent=False';
    expect(await organizations(`?${old}`)).toStrictEqual([world.north, world.south]);
    const two = await world.call('GET', '/vpn/algorithm/addresses?only_self=1&only_parent=1', {
      token,
    });
    expect(two.status).toBe(400);
  });

  it('reach children and parent', async () => {
    await bringUp();
    const parent = await containerOf(world, world.northNode.token, task);
    const body = { image: IMAGE, organizations: [{ id: world.south, input: INPUT }] };
    const child = Number((await world.call('POST', '/task', { token: parent, body })).body.id);
    const run = await runOf(world, child, world.south);
    await register(run, 50_000, world.southNode.token);
    await world.call('PATCH', `/run/${run}`, {
      token: world.southNode.token,
      body: { status: 'active' },
    });
    expect(await ports(parent, '?only_children=1')).toStrictEqual([50_000]);
    expect(await ports(parent, '?include_children=1')).toHaveLength(3);
    const below = await containerOf(world, world.southNode.token, child);
    expect(await ports(below, '?only_parent=1')).toStrictEqual([49_152, 49_152]);
    expect(await ports(below, '')).toStrictEqual([50_000]);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['is not active yet', () => world.store.runs.update(south, { status: 'pending' })],
    [
      'has ended',
      () =>
        world.call('PATCH', `/run/${south}`, {
          token: world.southNode.token,
          body: { status: 'crashed' },
        }),
    ],
    [
      'is of a node without address',
      () =>
        world.call('PATCH', `/node/${world.southNode.node.id}`, {
          token: world.southNode.token,
          body: { clear_ip: true },
        }),
    ],
    [
      'is of a node that is offline',
      () => world.store.nodes.update(world.southNode.node.id, { isOnline: false }),
    ],
    [
      'is of a node that was deleted',
      () => world.call('DELETE', `/node/${world.southNode.node.id}`, { token: world.root.token }),
    ],
  ])('do not hold a run that %s', async (_what, change) => {
    await bringUp();
    const token = await containerOf(world, world.northNode.token, task);
    expect(await addressesOf(token, '?only_siblings=1')).toHaveLength(1);
    await change();
    expect(await addressesOf(token, '?only_siblings=1')).toStrictEqual([]);
    expect(await addressesOf(token)).toHaveLength(1);
  });

  it('always hold the own ones, before the container starts', async () => {
    await register(north, 49_152, world.northNode.token);
    const token = await containerOf(world, world.northNode.token, task);
    expect(await addressesOf(token)).toMatchObject([{ port: 49_152, ip: null }]);
  });

  it('are for algorithms only', async () => {
    for (const { token } of [world.root, world.northNode])
      expect((await world.call('GET', '/vpn/algorithm/addresses', { token })).status).toBe(403);
  });
});
