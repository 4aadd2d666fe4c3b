import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { containerOf, createTask, createWorld, type World } from '../support/server-app.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld({ hasVpn: false });
});
afterEach(() => world.close());

type Body = Readonly<Record<string, unknown>>;
const get = (path: string, token = world.root.token) => world.call('GET', path, { token });
const send = (method: string, path: string, body?: unknown, token = world.root.token) =>
  world.call(method, path, { token, body });
const rows = (answer: { readonly body: Body }) => answer.body.data as { id: number }[];

const newPublicKey = (): string => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })).toString('base64');
};

describe('upstream weakness: lists', () => {
  it('without an order pages repeat or skip rows: ours have one, also among equal values', async () => {
    for (let i = 0; i < 5; i += 1)
      await send('POST', '/organization', { name: `More ${i}`, country: 'NL' });
    for (const [list, sort] of [
      ['organization', 'country'],
      ['organization', '-country'],
      ['node', 'status'],
      ['user', 'firstname'],
      ['collaboration', 'id'],
      ['role', 'description'],
    ] as const) {
      const total = rows(await get(`/${list}?per_page=100`)).length;
      const seen = new Set<number>();
      for (let page = 1; page <= total; page += 1)
        for (const { id } of rows(await get(`/${list}?per_page=1&page=${page}&sort=${sort}`)))
          seen.add(id);
      expect([list, seen.size]).toStrictEqual([list, total]);
    }
  });

  it.each(['page=0', 'page=x', 'per_page=0', 'per_page=5000', 'sort=password', 'sort=constructor'])(
    'a bad page or sort is 500: ours is 400 for %s',
    async (query) => {
      for (const list of ['organization', 'node', 'user', 'task', 'run', 'study', 'role', 'rule']) {
        const answer = await get(`/${list}?${query}`);
        expect([list, answer.status]).toStrictEqual([list, 400]);
        expect(answer.body.errors).toHaveProperty(query.split('=')[0] ?? '');
      }
    },
  );

  it('an unknown study_id, and an unknown run in /port, is 500: ours is 404', async () => {
    for (const list of ['node', 'organization', 'task'])
      expect((await get(`/${list}?study_id=999`)).status).toBe(404);
    expect((await get('/port?run_id=999')).status).toBe(404);
    const { token } = world.northNode;
    const port = { port: 50_000, run_id: 999 };
    expect((await send('POST', '/port', port, token)).status).toBe(404);
    expect((await send('DELETE', '/port?run_id=999', undefined, token)).status).toBe(404);
  });
});

describe('upstream weakness: public keys', () => {
  it('broken base64 is 500 and any text is a key: ours is 400 for all but a key', async () => {
    const frame = '-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n';
    const texts = ['%%%', 'YQ==', Buffer.from(frame).toString('base64')];
    for (const public_key of texts)
      expect((await send('PATCH', `/organization/${world.south}`, { public_key })).status).toBe(
        400,
      );
    const public_key = newPublicKey();
    const stored = await send('PATCH', `/organization/${world.south}`, { public_key });
    expect(stored.body.public_key).toBe(public_key);
  });

  it('any node of an organization can replace its key: ours sets one where there is none', async () => {
    const path = `/organization/${world.north}`;
    const [first, second] = [newPublicKey(), newPublicKey()];
    const set = (public_key: string, token: string) => send('PATCH', path, { public_key }, token);
    expect((await set(first, world.northNode.token)).status).toBe(200);
    expect((await set(first, world.northOther.token)).status).toBe(200);
    expect((await set(second, world.northOther.token)).status).toBe(403);
    expect((await get(path)).body.public_key).toBe(first);
  });
});

describe('upstream weakness: making and deleting', () => {
  it('unknown organizations of a collaboration are dropped silently: ours is 404, and the answer stays 200', async () => {
    const make = (name: string, organization_ids: number[]) =>
      send('POST', '/collaboration', { name, organization_ids, encrypted: false });
    expect((await make('New', [world.south, 999])).status).toBe(404);
    expect(rows(await get('/collaboration?name=New'))).toStrictEqual([]);
    expect((await make('New', [world.south])).status).toBe(200);
  });

  it.each(['false', 'False', '0', 'no', ''])(
    'delete_dependents=%s deletes everything: ours refuses',
    async (text) => {
      await createTask(world);
      for (const path of [`/collaboration/${world.trial}`, `/organization/${world.south}`]) {
        const answer = await send('DELETE', `${path}?delete_dependents=${text}`);
        expect([path, answer.status, answer.body.code]).toStrictEqual([
          path,
          400,
          'V6_REQUEST_CONFLICT',
        ]);
        expect((await get(path)).status).toBe(200);
      }
    },
  );

  it('a user without names is 500, and a null organization is refused: ours takes what the Python client sends', async () => {
    const body = { username: 'wim', password: 'Good-pass-1', email: 'wim@example.org' };
    const made = await send('POST', '/user', {
      ...body,
      organization_id: null,
      roles: [],
      rules: [],
    });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      firstname: '',
      lastname: '',
      organization: { id: world.home },
    });
  });
});

describe('upstream weakness: answers', () => {
  it('/vpn/update has no handler and is 500: ours answers, with 501 where there is no VPN', async () => {
    const body = { vpn_config: 'client' };
    const answer = await send('POST', '/vpn/update', body, world.northNode.token);
    expect([answer.status, answer.body.code]).toStrictEqual([501, 'V6_VPN_OFF']);
    expect((await send('POST', '/vpn/update', {}, world.northNode.token)).status).toBe(400);
  });

  it('404 is HTML and framework errors use `message`: ours are JSON with msg and code', async () => {
    const answers = [
      await get('/nothing/here'),
      await send('PUT', '/task'),
      await world.app.inject({
        method: 'POST',
        url: '/api/token/user',
        headers: { 'content-type': 'application/json' },
        payload: '{',
      }),
    ];
    const seen = answers.map((answer) => {
      const body = 'body' in answer && typeof answer.body !== 'string' ? answer.body : undefined;
      return body ?? (answer as { json(): Body }).json();
    });
    expect(seen).toStrictEqual([
      { msg: expect.any(String), code: 'V6_REQUEST_NOT_FOUND' },
      { msg: expect.any(String), code: 'V6_REQUEST_METHOD' },
      expect.objectContaining({ msg: expect.any(String), code: 'V6_REQUEST_INVALID' }),
    ]);
  });

  it('GET /study refuses algorithms: ours shows them those of their organization', async () => {
    const study = await send('POST', '/study', {
      name: 'Pilot',
      collaboration_id: world.trial,
      organization_ids: [world.north],
    });
    const task = await createTask(world);
    const north = await containerOf(world, world.northNode.token, task);
    const south = await containerOf(world, world.southNode.token, task);
    expect(rows(await get('/study', north))).toMatchObject([{ id: study.body.id }]);
    expect(rows(await get('/study', south))).toStrictEqual([]);
  });

  it('/health answers 200 without a database: ours is 503', async () => {
    expect((await world.call('GET', '/health')).body.database).toBe(true);
    await world.store.close();
    const answer = await world.call('GET', '/health');
    expect([answer.status, answer.body.database]).toStrictEqual([503, false]);
  });
});
