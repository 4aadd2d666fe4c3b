import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import {
  createTask,
  createWorld,
  IMAGE,
  INPUT,
  PASSWORD,
  type World,
} from '../support/server-app.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const root = () => world.root.token;

describe('V1 encoding', () => {
  it.each(["'; DROP TABLE task; --", "%' OR 1=1 --", '" or ""="', '\\'])(
    'V1.2.4 what looks like SQL is text: %j',
    async (name) => {
      const path = `/organization?name=${encodeURIComponent(name)}`;
      const answer = await world.call('GET', path, { token: root() });
      expect([answer.status, answer.body.data]).toStrictEqual([200, []]);
      const sorted = await world.call('GET', `/organization?sort=${encodeURIComponent(name)}`, {
        token: root(),
      });
      expect(sorted.status).toBe(400);
      const made = await world.call('POST', '/organization', { token: root(), body: { name } });
      expect(made.body.name).toBe(name);
      expect((await world.call('GET', '/task', { token: root() })).status).toBe(200);
    },
  );

  it('V1.2.2 links repeat the query of the caller encoded', async () => {
    const name = '<a href="x">&page=7';
    const path = `/organization?name=${encodeURIComponent(name)}`;
    const { self } = (await world.call('GET', path, { token: root() })).body.links as {
      self: string;
    };
    expect(self).not.toMatch(/[<>" ]/);
    const query = new URL(self, 'http://x').searchParams;
    expect([query.get('name'), query.getAll('page')]).toStrictEqual([name, ['1']]);
  });

  it('V1.2.9 a pattern of a filter is no regular expression', async () => {
    const started = performance.now();
    const path = `/organization?name=${encodeURIComponent(`${'(a+)+'.repeat(40)}$`)}`;
    expect((await world.call('GET', path, { token: root() })).status).toBe(200);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('V1.3.11 an address with a line break reaches no mail', async () => {
    const email = 'a@example.org\r\nBcc: eve@example.org';
    const answer = await world.call('PATCH', `/user/${world.nora.id}`, {
      token: world.nora.token,
      body: { email },
    });
    expect(answer.status).toBe(400);
  });
});

describe('V2 validation', () => {
  it.each([
    [{ username: 'nora', password: PASSWORD, is_admin: true }],
    [{ username: ['nora'], password: PASSWORD }],
    [{ username: { $ne: '' }, password: PASSWORD }],
    [{ username: 'nora' }],
    [{ username: 'n'.repeat(129), password: PASSWORD }],
    [[]],
    [null],
  ])('V2.2.1 a login with the body %j is refused with the field', async (body) => {
    const answer = await world.call('POST', '/token/user', { body });
    expect([answer.status, answer.body.code]).toStrictEqual([400, 'V6_REQUEST_INVALID']);
  });

  it('V2.3.1 a second factor cannot be had without the step before', async () => {
    const answer = await world.call('POST', '/recover/2fa/reset', {
      body: { reset_token: 'none' },
    });
    expect(answer.body.code).toBe('V6_RECOVERY_TOKEN');
  });

  it('V2.4.1 what costs a portal configuration is limited per node', async () => {
    const ask = () =>
      world.call('POST', '/vpn/update', {
        token: world.northNode.token,
        body: { vpn_config: 'x' },
      });
    for (let i = 0; i < 10; i += 1) {
      expect((await ask()).status).toBe(200);
      await world.clock.turn(5001);
    }
    const late = await ask();
    expect([late.status, late.body.code]).toStrictEqual([429, 'V6_REQUEST_RATE']);
    expect(late.headers).toHaveProperty('retry-after');
    for (let i = 0; i < 40; i += 1) {
      await world.clock.turn(60_000);
      await ask();
    }
    const later = await ask();
    expect([later.status, Number(later.headers['retry-after'])]).toStrictEqual([429, 3600]);
    const other = await world.call('GET', '/vpn', { token: world.southNode.token });
    expect(other.status).toBe(200);
  });
});

describe('V3 browsers', () => {
  it('V3.2.1, V3.4.3 to V3.4.6, V14.3.2 no answer is kept, sniffed, framed or run by a browser', async () => {
    const answers = [
      await world.call('GET', '/version'),
      await world.call('GET', '/vpn', { token: world.northNode.token }),
      await world.call('POST', '/token/user', { body: { username: 'nora', password: PASSWORD } }),
      await world.call('GET', '/task'),
      await world.call('GET', '/nowhere'),
    ];
    for (const { headers } of answers)
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
        'referrer-policy': 'no-referrer',
      });
  });

  it('V3.3.1 to V3.3.4 there are no cookies', async () => {
    const answer = await world.call('POST', '/token/user', {
      body: { username: 'nora', password: PASSWORD },
    });
    expect(answer.headers).not.toHaveProperty('set-cookie');
  });

  it('V3.4.1 over TLS browsers are told to come no other way', async () => {
    const response = await world.app.inject({
      url: '/api/version',
      headers: { 'x-forwarded-proto': 'https' },
    });
    expect(response.headers['strict-transport-security']).toBe(
      'max-age=31536000; includeSubDomains',
    );
    expect((await world.call('GET', '/version')).headers).not.toHaveProperty(
      'strict-transport-security',
    );
  });

  it('V3.4.2 only pages of configured origins may read answers; by default any, which has no login of its own', async () => {
    const narrow = await createWorld({ transport: { corsOrigins: ['https://ui.example.org'] } });
    const from = async (at: World, origin: string) =>
      (await at.app.inject({ url: '/api/version', headers: { origin } })).headers[
        'access-control-allow-origin'
      ];
    expect(await from(narrow, 'https://ui.example.org')).toBe('https://ui.example.org');
    for (const origin of ['https://ui.example.org.evil.example', 'null', 'http://ui.example.org'])
      expect(await from(narrow, origin)).toBeUndefined();
    const open = await world.app.inject({ url: '/api/version', headers: { origin: 'https://x' } });
    expect(open.headers['access-control-allow-origin']).toBe('*');
    expect(open.headers).not.toHaveProperty('access-control-allow-credentials');
    await narrow.close();
  });

  it('V3.5.1, V3.5.2 a form of another page does nothing: only JSON is read, only a header names the caller', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      const response = await world.app.inject({
        method: 'POST',
        url: '/api/token/user',
        headers: { 'content-type': type },
        payload: `{"username":"nora","password":"${PASSWORD}"}`,
      });
      expect([400, 415]).toContain(response.statusCode);
    }
    const cookie = await world.app.inject({
      url: '/api/task',
      headers: { cookie: `token=${root()}; access_token_cookie=${root()}` },
    });
    expect(cookie.statusCode).toBe(401);
  });

  it('V3.5.3 nothing is changed by GET', async () => {
    const before = await world.store.users.find(world.nora.id);
    for (const path of ['/password/change', '/token/logout', '/recover/lost', '/recover/node'])
      expect([404, 405]).toContain((await world.call('GET', path, { token: root() })).status);
    expect(await world.store.users.find(world.nora.id)).toStrictEqual(before);
  });
});

describe('V4 interface', () => {
  it('V4.1.1 every answer names JSON and its character set', async () => {
    for (const url of ['/api/version', '/api/task', '/nowhere', '/api/%zz', '/'])
      expect((await world.app.inject({ url })).headers['content-type']).toBe(
        'application/json; charset=utf-8',
      );
  });

  it('V4.1.3, V15.3.4 headers of proxies count from trusted proxies only', async () => {
    const guess = (forwarded: string) =>
      world.app.inject({
        method: 'POST',
        url: '/api/token/user',
        remoteAddress: '203.0.113.5',
        headers: {
          'x-forwarded-for': forwarded,
          'x-real-ip': forwarded,
          forwarded: `for=${forwarded}`,
        },
        payload: { username: 'nora', password: 'Wrong-pass-1' },
      });
    for (let i = 0; i < 5; i += 1) await guess(`198.51.100.${i}`);
    expect((await guess('198.51.100.99')).statusCode).toBe(429);
  });

  it('V4.3.1 pages, lists and texts have a largest size', async () => {
    expect((await world.call('GET', '/run?per_page=1001', { token: root() })).status).toBe(400);
    const ids = Array.from({ length: 1001 }, (_, i) => i + 1).join(',');
    expect((await world.call('GET', `/run?ids=${ids}`, { token: root() })).status).toBe(400);
    const organizations = Array.from({ length: 10_000 }, () => ({ id: world.north, input: INPUT }));
    const large = await world.call('POST', '/task', {
      token: world.nora.token,
      body: { image: IMAGE, name: 'x', collaboration_id: world.trial, organizations },
    });
    expect([400, 413]).toContain(large.status);
  });
});

describe('V15 code', () => {
  it('V15.3.1 no answer has a hash, a digest, a key or a generation', async () => {
    const { token } = world.root;
    const paths = ['/user', `/user/${world.nora.id}`, '/node', `/node/${world.northNode.node.id}`];
    for (const path of paths) {
      const { body } = await world.call('GET', path, { token });
      expect(JSON.stringify(body)).not.toMatch(/argon2|digest|api_key|otp|generation|password/i);
    }
  });

  it.each([
    ['PATCH', (w: World) => `/user/${w.nora.id}`, { id: 1 }],
    ['PATCH', (w: World) => `/user/${w.nora.id}`, { organization_id: 1 }],
    ['PATCH', (w: World) => `/user/${w.nora.id}`, { password: 'Other-pass-2' }],
    ['PATCH', (w: World) => `/user/${w.nora.id}`, { token_generation: 9 }],
    ['PATCH', (w: World) => `/user/${w.nora.id}`, { otp_secret: 'A' }],
    ['PATCH', (w: World) => `/user/${w.nora.id}`, { failed_login_attempts: 0 }],
    ['POST', () => '/token/logout', { account: 1 }],
  ] as const)(
    'V15.3.3 fields that are not for the caller are refused: %s %s %j',
    async (method, path, body) => {
      const answer = await world.call(method, path(world), { token: world.nora.token, body });
      expect([answer.status, answer.body.errors]).toMatchObject([400, expect.any(Object)]);
    },
  );

  it('V15.3.5, V15.3.6 keys of objects change no prototype', async () => {
    for (const text of [
      '{"__proto__":{"isAdmin":true}}',
      '{"constructor":{"prototype":{"isAdmin":1}}}',
    ])
      await world.app.inject({
        method: 'POST',
        url: '/api/token/user',
        headers: { 'content-type': 'application/json' },
        payload: text,
      });
    expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
    const login = await world.app.inject({
      method: 'POST',
      url: '/api/token/user',
      headers: { 'content-type': 'application/json' },
      payload: `{"__proto__":{"username":"nora","password":"${PASSWORD}"}}`,
    });
    expect(login.statusCode).toBe(400);
  });

  it('V15.3.7 a parameter that comes twice counts once, the first', async () => {
    const task = await createTask(world);
    const path = `/run?task_id=${task}&task_id=999`;
    const { body } = await world.call('GET', path, { token: world.nora.token });
    expect(body.data).toHaveLength(2);
  });
});

describe('V14 data', () => {
  it('V14.2.1 tokens and keys are not taken from a URL', async () => {
    for (const query of [`token=${root()}`, `jwt=${root()}`, `access_token=${root()}`])
      expect((await world.call('GET', `/task?${query}`)).status).toBe(401);
    const { apiKey } = world.northNode;
    const login = await world.call('POST', `/token/node?api_key=${apiKey}`, { body: {} });
    expect(login.status).toBe(400);
  });
});

describe('the listener', () => {
  let folder: TempFolder;
  let server: RunningServer;
  beforeAll(async () => {
    folder = await tempFolder();
    const config = parseServerConfig('uri: sqlite:///x\nip: 127.0.0.1\n', 'x');
    server = await startServer({
      config: { ...config, port: 0 },
      dataDir: folder.path,
      logger: silentLogger,
    });
  });
  afterAll(async () => {
    await server?.stop();
    await folder?.remove();
  });

  async function raw(text: string): Promise<string> {
    const socket = connect(server.port, '127.0.0.1');
    socket.write(text);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => undefined);
    await once(socket, 'close', { signal: AbortSignal.timeout(10_000) });
    return Buffer.concat(chunks).toString();
  }

  it('V4.2.1 a message with two lengths is refused', async () => {
    const answer = await raw(
      'POST /api/token/user HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /api/version HTTP/1.1\r\nhost: x\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).not.toContain('"version"');
  });

  it('V13.4.4 TRACE repeats nothing', async () => {
    const answer = await raw(
      'TRACE /api/version HTTP/1.1\r\nhost: x\r\nx-secret: mine\r\nconnection: close\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(answer).not.toContain('mine');
  });

  it('V15.2.2 headers have a largest size', async () => {
    const answer = await raw(
      `GET /api/version HTTP/1.1\r\nhost: x\r\nx-large: ${'x'.repeat(20_000)}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });

  it('V13.4.2, V16.5.1 answers name no software', async () => {
    const answer = await raw('GET /api/nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    expect(answer).not.toMatch(/fastify|node\.?js|x-powered-by|^server:/im);
  });
});
