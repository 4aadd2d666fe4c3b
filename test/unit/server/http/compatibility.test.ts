import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ruleNamed } from '../../../../src/server/auth/rules.ts';
import {
  addUser,
  containerOf,
  createTask,
  createWorld,
  IMAGE,
  INPUT,
  runOf,
  type World,
} from '../../../support/server-app.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const get = (path: string, token = world.root.token) => world.call('GET', path, { token });
const send = (method: string, path: string, body?: unknown, token = world.root.token) =>
  world.call(method, path, { token, body });
const rows = (answer: { readonly body: Readonly<Record<string, unknown>> }) =>
  answer.body.data as Readonly<Record<string, unknown>>[];

describe('what algorithm images of vantage6 3.x ask', () => {
  it('results of a task as a bare list, with the address of the node and the ports', async () => {
    const task = await createTask(world, [world.north]);
    const run = await runOf(world, task, world.north);
    const { node, token } = world.northNode;
    await send('PATCH', `/node/${node.id}`, { ip: '10.76.0.5' }, token);
    // A 3.x node says `result_id`.
    const port = await send('POST', '/port', { port: 50_000, result_id: run, label: 'com' }, token);
    expect(port.status).toBe(201);
    await send('PATCH', `/run/${run}`, { result: 'YQ==' }, token);
    const container = await containerOf(world, token, task);
    const { status, body } = await get(`/task/${task}/result`, container);
    expect(status).toBe(200);
    expect(body).toMatchObject([
      {
        id: run,
        result: 'YQ==',
        organization: { id: world.north },
        node: { ip: '10.76.0.5', name: node.name },
        ports: [{ port: 50_000, label: 'com' }],
      },
    ]);
    expect((await send('DELETE', `/port?result_id=${run}`, undefined, token)).status).toBe(200);
    expect((await send('DELETE', '/port', undefined, token)).status).toBe(400);
    expect((await send('POST', '/port', { port: 50_000 }, token)).body.errors).toHaveProperty(
      'run_id',
    );
  });

  it('organizations of their collaboration as a bare list', async () => {
    const task = await createTask(world, [world.north]);
    const container = await containerOf(world, world.northNode.token, task);
    const { body } = await get(`/collaboration/${world.trial}/organization`, container);
    expect(body).toMatchObject([{ name: 'North' }, { name: 'South' }]);
  });

  it('sub-tasks with one database, by its label; their token names it too', async () => {
    const task = await createTask(world, [world.north]);
    const container = await containerOf(world, world.northNode.token, task);
    const made = await send(
      'POST',
      '/task',
      {
        name: 'subtask',
        image: IMAGE,
        collaboration_id: world.trial,
        description: '',
        organizations: [{ id: world.north, input: INPUT }],
        database: 'patients',
      },
      container,
    );
    expect(made.body.databases).toStrictEqual([{ label: 'patients', parameters: '{}' }]);
    const inner = await containerOf(world, world.northNode.token, made.body.id as number);
    const claims = JSON.parse(Buffer.from(inner.split('.')[1] ?? '', 'base64url').toString()) as {
      sub: object;
    };
    expect(claims.sub).toMatchObject({ database: 'patients', databases: [{ label: 'patients' }] });
  });
});

describe('what this server does not have', () => {
  it('algorithm stores: none to list, none to read, none to add', async () => {
    expect([
      (await get('/algorithmstore')).status,
      rows(await get('/algorithmstore')),
    ]).toStrictEqual([200, []]);
    expect((await get('/algorithmstore/1', world.northNode.token)).status).toBe(404);
    const body = { name: 'store', algorithm_store_url: 'https://store.example.org' };
    const added = await send('POST', '/algorithmstore', body);
    expect([added.status, added.body.code]).toStrictEqual([501, 'V6_REQUEST_UNSUPPORTED']);
    expect((await send('DELETE', '/algorithmstore/1')).status).toBe(501);
    expect(rows(await get('/collaboration?algorithm_store_id=1'))).toStrictEqual([]);
    const organizations = [{ id: world.north, input: INPUT }];
    const task = { image: IMAGE, collaboration_id: world.trial, organizations, store_id: 1 };
    const refused = await send('POST', '/task', task, world.nora.token);
    expect([refused.status, refused.body.errors]).toStrictEqual([
      400,
      { store_id: ['This server has no algorithm stores.'] },
    ]);
  });

  it('blobs: off, refused and not found', async () => {
    const { token } = world.northNode;
    expect((await get('/blobstream/status', token)).body).toStrictEqual({
      blob_store_enabled: false,
    });
    const sent = await world.app.inject({
      method: 'POST',
      url: '/api/blobstream',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' },
      payload: Buffer.alloc(1000),
    });
    expect([sent.statusCode, sent.json().code]).toStrictEqual([501, 'V6_REQUEST_UNSUPPORTED']);
    const uuid = '0b8d3b2c-6c53-4b8c-9a49-6c6f9b1d5a11';
    expect((await get(`/blobstream/${uuid}`, token)).status).toBe(404);
  });
});

describe('columns of a database', () => {
  it('are those that a node of the named organizations tells', async () => {
    const config = [
      { key: 'columns_default', value: 'age' },
      { key: 'columns_default', value: 'sex' },
      { key: 'columns_other', value: 'x' },
    ];
    await world.store.nodes.update(world.northNode.node.id, { config });
    const ask = (organization: number, token = world.nora.token, label = 'default') =>
      send(
        'POST',
        '/column',
        {
          db_label: label,
          collaboration_id: world.trial,
          organizations: [{ id: organization, input: INPUT }],
        },
        token,
      );
    expect((await ask(world.north)).body).toStrictEqual({ columns: ['age', 'sex'] });
    expect((await ask(world.south)).status).toBe(404);
    expect((await ask(world.north, world.nora.token, 'unknown')).status).toBe(404);
    expect((await ask(world.north, world.vera.token)).status).toBe(403);
  });
});

describe('a node', () => {
  it('moves to another collaboration of its organization, and logs in again with the same key', async () => {
    const third = await world.store.collaborations.create({ name: 'Third', encrypted: false });
    await world.store.collaborations.setMembers(third, [world.south]);
    const { node, token, apiKey } = world.southNode;
    const move = (id: number, collaboration = third) =>
      send('POST', `/collaboration/${collaboration}/node`, { id });
    expect((await move(world.northNode.node.id)).status).toBe(400);
    const task = await createTask(world, [world.south]);
    expect((await move(node.id)).body.code).toBe('V6_REQUEST_CONFLICT');
    await send('POST', '/kill/task', { id: task });
    const moved = await move(node.id);
    expect([moved.status, moved.body]).toMatchObject([201, [{ id: node.id }]]);
    expect((await move(node.id)).body.code).toBe('V6_REQUEST_CONFLICT');
    expect((await get(`/node/${node.id}`, token)).status).toBe(401);
    const login = await world.call('POST', '/token/node', { body: { api_key: apiKey } });
    expect(login.status).toBe(200);
    const own = await get(`/node/${node.id}`, login.body.access_token as string);
    expect(own.body.collaboration).toMatchObject({ id: third });
    // The pair is unique there too.
    await send('POST', '/node', {
      name: 'Second',
      collaboration_id: world.trial,
      organization_id: world.south,
    });
    expect((await move(node.id, world.trial)).status).toBe(400);
  });

  it('that is taken out of its collaboration is deleted', async () => {
    const { id } = world.southNode.node;
    const out = (collaboration: number) =>
      send('DELETE', `/collaboration/${collaboration}/node`, { id });
    expect((await out(world.other)).status).toBe(400);
    expect((await out(world.trial)).status).toBe(200);
    expect((await get(`/node/${id}`)).status).toBe(404);
  });

  it('is found by every filter of upstream', async () => {
    await world.presence.connected(world.northNode.node.id);
    await send(
      'PATCH',
      `/node/${world.northNode.node.id}`,
      { ip: '10.76.0.5' },
      world.northNode.token,
    );
    const found = async (query: string) => rows(await get(`/node?${query}`)).length;
    expect(await found('status=online')).toBe(1);
    expect(await found('ip=10.76.0.5')).toBe(1);
    expect(await found('name=north%25')).toBe(2);
    expect(await found('last_seen_from=2029-12-31')).toBe(1);
    expect(await found('last_seen_till=2029-12-31T00:00:00')).toBe(0);
    expect(await found(`organization_id=${world.south}&collaboration_id=${world.trial}`)).toBe(1);
  });
});

describe('lists of tasks and organizations', () => {
  it('are found by every filter of upstream', async () => {
    const made = await send(
      'POST',
      '/task',
      {
        image: IMAGE,
        collaboration_id: world.trial,
        organizations: [{ id: world.north, input: INPUT }],
        databases: [{ label: 'patients' }],
      },
      world.nora.token,
    );
    await createTask(world);
    const found = async (query: string) => rows(await get(`/task?${query}`)).map((task) => task.id);
    expect(await found('database=patients')).toStrictEqual([made.body.id]);
    expect(await found('database=none')).toStrictEqual([]);
    const both = rows(await get('/task?include=results&include=runs'));
    expect(both[0]).toMatchObject({ runs: [{}, {}], results: [{}, {}] });
    expect(rows(await get('/task?include=results,runs'))).toStrictEqual(both);
    expect(rows(await get(`/organization?ids=${world.north}&ids=${world.east}`))).toHaveLength(2);
    await send('PATCH', `/organization/${world.north}`, { country: 'NL' });
    expect(rows(await get('/organization?country=NL'))).toHaveLength(1);
  });

  it('narrow what an own rule shows, and do not widen it', async () => {
    const own = await addUser(world, { username: 'olga', organization: world.north, role: '' });
    const rules = [ruleNamed('task view own').id, ruleNamed('run view own').id];
    await world.store.users.update(own.id, { rules });
    await createTask(world);
    expect(rows(await get('/task', own.token))).toStrictEqual([]);
    expect(rows(await get(`/task?init_user_id=${world.nora.id}`, own.token))).toStrictEqual([]);
  });
});
