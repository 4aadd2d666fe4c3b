import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  containerOf,
  createTask,
  createWorld,
  IMAGE,
  INPUT,
  runOf,
  type World,
} from '../support/server-app.ts';

/** Upstream's weaknesses in what it answers to bad requests, each by the words that it was noted down with. */

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world.close());

const asRoot = (method: string, path: string, body?: unknown) =>
  world.call(method, path, { token: world.root.token, body });

/** A task of nora with this input. */
const taskWith = (organization: unknown) =>
  world.call('POST', '/task', {
    token: world.nora.token,
    body: { image: IMAGE, collaboration_id: world.trial, organizations: [organization] },
  });

describe('404 pages are HTML, framework errors use `message` instead of `msg`', () => {
  it.each([
    ['GET', '/nowhere', 404],
    ['GET', '/api/nowhere', 404],
    ['PUT', '/api/task/1', 405],
    ['GET', '/api/%', 400],
    ['GET', `/api/task/${'1'.repeat(200)}`, 414],
  ])('%s %s is JSON with msg and code', async (method, url, status) => {
    const answer = await world.app.inject({ method: method as 'GET', url });
    expect([answer.statusCode, answer.headers['content-type']]).toStrictEqual([
      status,
      'application/json; charset=utf-8',
    ]);
    const body = answer.json<Record<string, unknown>>();
    expect(body).toMatchObject({ msg: expect.any(String), code: expect.any(String) });
    expect(body).not.toHaveProperty('message');
  });

  it.each([
    ['a body that is not JSON', 400, { 'content-type': 'application/json' }, '{"a":'],
    ['a body of another type', 415, { 'content-type': 'application/xml' }, '<a/>'],
    ['a compressed body', 415, { 'content-encoding': 'gzip' }, '{}'],
    ['a body that is too large', 413, {}, JSON.stringify({ name: 'x'.repeat(2 ** 20) })],
  ])('%s too', async (_what, status, headers, payload) => {
    const answer = await world.app.inject({
      method: 'POST',
      url: '/api/organization',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${world.root.token}`,
        ...headers,
      },
      payload,
    });
    expect(answer.statusCode).toBe(status);
    expect(answer.json()).toMatchObject({ msg: expect.any(String), code: 'V6_REQUEST_INVALID' });
  });
});

describe('Bad paging or sort values → 500', () => {
  const LISTS = [
    'organization',
    'collaboration',
    'node',
    'user',
    'role',
    'task',
    'run',
    'result',
    'port',
  ];
  const BAD = [
    'page=0',
    'page=-1',
    'page=x',
    'page=1.5',
    'per_page=0',
    'per_page=x',
    'sort=secret',
  ];
  it.each(LISTS)('GET /%s answers 400 and names the parameter', async (list) => {
    for (const query of BAD) {
      const answer = await asRoot('GET', `/${list}?${query}`);
      const [name = ''] = query.split('=');
      expect([query, answer.status, Object.keys(answer.body.errors ?? {})]).toStrictEqual([
        query,
        400,
        [name],
      ]);
    }
  });
});

describe('Wrong kind of identity → 500 instead of 403; missing permission → 401 instead of 403', () => {
  it('a user at what is for nodes, a node at what is for users, and neither at what is for containers', async () => {
    const { nora, northNode } = world;
    const asked = [
      ['GET', '/vpn', nora.token],
      [
        'POST',
        '/task',
        northNode.token,
        { image: IMAGE, organizations: [{ id: 1, input: INPUT }] },
      ],
      ['GET', '/user', northNode.token],
      ['GET', '/vpn/algorithm/addresses', nora.token],
      ['GET', '/vpn/algorithm/addresses', northNode.token],
    ] as const;
    for (const [method, path, token, body] of asked) {
      const answer = await world.call(method, path, { token, body });
      expect([path, answer.status, answer.body.code]).toStrictEqual([
        path,
        403,
        'V6_AUTH_FORBIDDEN',
      ]);
    }
  });

  it('a viewer who would create', async () => {
    const answer = await world.call('POST', '/organization', {
      token: world.vera.token,
      body: { name: 'West' },
    });
    expect([answer.status, answer.body.code]).toStrictEqual([403, 'V6_AUTH_FORBIDDEN']);
  });
});

describe('Missing or non-base64 `input` → 500', () => {
  it.each([
    ['missing', {}],
    ['null', { input: null }],
    ['a number', { input: 7 }],
    ['no base64', { input: 'not base64!' }],
    ['half of base64', { input: 'eyJ' }],
    ['one dollar', { input: 'AA==$AA==' }],
    ['encrypted, in a collaboration that is not', { input: 'AAAA$AAAA$AAAA' }],
    ['with NUL', { input: 'AA==\0' }],
  ])('%s is 400 with the field', async (_what, fields) => {
    const answer = await taskWith({ id: world.north, ...fields });
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toHaveProperty('organizations');
  });
});

it('`organizations[].id` is not type-checked; a repeated id yields a misleading message', async () => {
  for (const id of ['x', null, -1, 1.5, {}, 2 ** 31]) {
    const answer = await taskWith({ id, input: INPUT });
    expect([answer.status, answer.body.errors]).toMatchObject([
      400,
      { organizations: { 0: { id: expect.any(Array) } } },
    ]);
  }
  const twice = await world.call('POST', '/task', {
    token: world.nora.token,
    body: {
      image: IMAGE,
      collaboration_id: world.trial,
      organizations: [
        { id: world.north, input: INPUT },
        { id: world.north, input: INPUT },
      ],
    },
  });
  expect(twice.status).toBe(400);
  expect(twice.body.msg).toContain(String(world.north));
});

it('Invalid base64 public key → 500; any decodable text is stored as key', async () => {
  const keys = ['%%%', 'abc', Buffer.from('hello').toString('base64'), 7, null, ['x']];
  for (const key of keys) {
    const answer = await asRoot('PATCH', `/organization/${world.south}`, { public_key: key });
    expect([key, answer.status, Object.keys(answer.body.errors ?? {})]).toStrictEqual([
      key,
      400,
      ['public_key'],
    ]);
  }
  const { body } = await asRoot('GET', `/organization/${world.south}`);
  expect(body.public_key).toBe('');
});

describe('Unknown `study_id` in node/organization lists, unknown `run_id` in `/port` → 500', () => {
  it.each(['/node?study_id=4711', '/organization?study_id=4711', '/node?study_id=x'])(
    'GET %s is below 500',
    async (path) => {
      const answer = await asRoot('GET', path);
      expect(answer.status).toBeLessThan(500);
      if (answer.status >= 400) expect(answer.body).toHaveProperty('code');
      else expect(answer.body.data).toStrictEqual([]);
    },
  );

  it('in /port is 404 for each method', async () => {
    const { token } = world.northNode;
    const body = { run_id: 4711, port: 50_000 };
    expect((await world.call('POST', '/port', { token, body })).status).toBe(404);
    expect((await world.call('DELETE', '/port?run_id=4711', { token })).status).toBe(404);
    expect((await world.call('GET', '/port?run_id=4711', { token })).status).toBe(404);
    expect((await world.call('DELETE', '/port', { token })).body.errors).toHaveProperty('run_id');
  });
});

it('`GET /task?status=`, `GET /task?store_id=` and `GET /run?port=` → 500', async () => {
  for (const path of ['/task?status=active', '/task?store_id=1', '/run?port=8888']) {
    const answer = await asRoot('GET', path);
    expect(answer.status, path).toBeLessThan(500);
  }
});

it('Only one text format of dates is parsed; others, and Python’s own output when microseconds are 0, give 500', async () => {
  const task = await createTask(world, [world.north]);
  const run = await runOf(world, task, world.north);
  const { token } = world.northNode;
  const patch = (at: unknown) =>
    world.call('PATCH', `/run/${run}`, { token, body: { started_at: at } });
  const good = [
    '2026-05-04T09:12:33.104512+00:00',
    '2026-05-04T09:12:33+00:00',
    '2026-05-04T09:12:33Z',
    '2026-05-04T09:12:33',
    '2026-05-04T11:12:33.1+02:00',
  ];
  for (const at of good) {
    const answer = await patch(at);
    expect([at, answer.status]).toStrictEqual([at, 200]);
    expect(answer.body.started_at).toMatch(/^2026-05-04T09:12:33/);
  }
  for (const at of ['yesterday', '2026-13-45T99:99:99Z', '2026-05-04', 7, true, {}]) {
    const answer = await patch(at);
    expect([at, answer.status]).toStrictEqual([at, 400]);
    expect(answer.body.errors).toHaveProperty('started_at');
  }
});

describe('Nothing limits request rates, body sizes or `per_page`', () => {
  it('a page has at most 1000 records', async () => {
    const answer = await asRoot('GET', '/run?per_page=1001');
    expect([answer.status, Object.keys(answer.body.errors ?? {})]).toStrictEqual([
      400,
      ['per_page'],
    ]);
  });

  it('a body has at most 1 MiB, and 64 MiB where inputs and results are', async () => {
    const large = { name: 'x'.repeat(2 ** 20) };
    expect((await asRoot('POST', '/organization', large)).status).toBe(413);
    const input = Buffer.alloc(2 ** 21, 7).toString('base64');
    expect((await taskWith({ id: world.north, input })).status).not.toBe(413);
    const huge = `{"image":"${'x'.repeat(64 * 2 ** 20)}"}`;
    const answer = await world.app.inject({
      method: 'POST',
      url: '/api/task',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${world.nora.token}`,
      },
      payload: huge,
    });
    expect([answer.statusCode, answer.json().code]).toStrictEqual([413, 'V6_REQUEST_INVALID']);
  });
});

it('User creation needs `firstname`/`lastname` but the schema does not say so → 500; null `organization_id` is refused', async () => {
  const answer = await asRoot('POST', '/user', {
    username: 'quinn',
    email: 'quinn@example.org',
    password: 'Right-pass-1',
    organization_id: null,
  });
  expect([answer.status, answer.body.firstname]).toStrictEqual([201, '']);
});

it('`/vpn/update` is registered without a handler → 500', async () => {
  const { token } = world.northNode;
  await world.call('GET', '/vpn', { token });
  const answer = await world.call('POST', '/vpn/update', { token, body: { vpn_config: 'client' } });
  expect(answer.status).toBe(200);
  const missing = await world.call('POST', '/vpn/update', { token, body: {} });
  expect([missing.status, missing.body.errors]).toMatchObject([
    400,
    { vpn_config: [expect.any(String)] },
  ]);
});

it('`/health` answers 200 with `database: false`', async () => {
  const broken = await createWorld();
  await broken.store.close();
  const answer = await broken.call('GET', '/health');
  expect([answer.status, answer.body.database]).toStrictEqual([503, false]);
  await broken.app.close();
});

describe('errors have one form', () => {
  it('a body that does not fit names each field with sentences; items of lists under their index', async () => {
    const answer = await asRoot('POST', '/collaboration', {
      name: '17',
      organization_ids: [1, 'x'],
      encrypted: null,
      colour: 'red',
    });
    expect([answer.status, answer.body.errors]).toMatchObject([
      400,
      {
        name: [expect.any(String)],
        organization_ids: { 1: [expect.any(String)] },
        encrypted: [expect.any(String)],
        colour: ['Unknown field.'],
      },
    ]);
  });

  it('names of fields that are names of JavaScript are only names', async () => {
    const answer = await world.app.inject({
      method: 'POST',
      url: '/api/organization',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${world.root.token}`,
      },
      payload: '{"name":"West","__proto__":{"name":"x"},"constructor":1}',
    });
    expect(answer.statusCode).toBe(400);
    expect(answer.json().errors).toStrictEqual({ ['__proto__']: ['Unknown field.'] });
    expect(({} as Record<string, unknown>).name).toBeUndefined();
  });

  it('tokens: 401 without one and when it has expired, 422 when it is bad', async () => {
    const key = Buffer.alloc(32, 7);
    const now = Math.floor(world.clock.now().getTime() / 1000);
    const token = (claims: Record<string, unknown>, alg = 'HS256', secret = key) =>
      new SignJWT({ sub: world.root.id, client_type: 'user', type: 'access', ...claims } as never)
        .setProtectedHeader({ alg })
        .sign(secret);
    const status = async (authorization?: string) => {
      const headers = authorization === undefined ? {} : { authorization };
      return (await world.app.inject({ url: '/api/node', headers })).statusCode;
    };
    expect(await status()).toBe(401);
    expect(await status('Basic cm9vdDpyb290')).toBe(401);
    expect(await status(`Bearer ${await token({ exp: now - 10 })}`)).toBe(401);
    expect(await status(`Bearer ${await token({ exp: now + 60, sub: 4711 })}`)).toBe(401);
    const bad = [
      'a.b.c',
      world.root.refresh,
      await token({ exp: now + 60 }, 'HS256', Buffer.alloc(32, 8)),
      await token({ exp: now + 60 }, 'HS512', Buffer.alloc(64, 7)),
      await token({ exp: now + 600, nbf: now + 300 }),
    ];
    for (const one of bad) expect(await status(`Bearer ${one}`)).toBe(422);
  });

  it('text that PostgreSQL cannot store, and numbers that it has no room for, are 400 with the field', async () => {
    for (const name of ['a\0b', 'half \ud800']) {
      const answer = await asRoot('POST', '/organization', { name });
      expect([answer.status, answer.body.errors]).toMatchObject([
        400,
        { name: [expect.any(String)] },
      ]);
    }
    expect((await asRoot('GET', '/organization?name=%00')).body.errors).toHaveProperty('name');
    for (const path of ['/task/2147483648', '/task/0', '/task/-1', '/task/1e99', '/task/%00']) {
      const answer = await asRoot('GET', path);
      expect([path, answer.status, Object.keys(answer.body.errors ?? {})]).toStrictEqual([
        path,
        400,
        ['id'],
      ]);
    }
  });

  it('a log keeps no NUL, and the run ends all the same', async () => {
    const task = await createTask(world, [world.north]);
    const run = await runOf(world, task, world.north);
    const { token } = world.northNode;
    await containerOf(world, token, task);
    const answer = await world.call('PATCH', `/run/${run}`, {
      token,
      body: { status: 'completed', log: 'bin\0ary', result: INPUT },
    });
    expect([answer.status, answer.body.log, answer.body.status]).toStrictEqual([
      200,
      'binary',
      'completed',
    ]);
  });
});
