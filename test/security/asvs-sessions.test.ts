import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTokens } from '../../src/server/auth/tokens.ts';
import { claimsOf, mint } from '../support/claims.ts';
import {
  containerOf,
  createTask,
  createWorld,
  PASSWORD,
  type World,
} from '../support/server-app.ts';

const KEY = Buffer.alloc(32, 7);

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const status = async (token: string): Promise<number> =>
  (await world.call('GET', '/task', { token })).status;

async function logIn(username = 'nora') {
  const body = { username, password: PASSWORD };
  const answer = (await world.call('POST', '/token/user', { body })).body;
  return { access: String(answer.access_token), refresh: String(answer.refresh_token) };
}

describe('V7 sessions', () => {
  it('V7.2.1 tokens are checked here, at each request, against what the database knows now', async () => {
    await world.call('DELETE', `/user/${world.enno.id}`, { token: world.root.token });
    expect(await status(world.enno.token)).toBe(401);
  });

  it('V7.2.2, V7.2.4 each login makes new tokens, and nodes work with tokens and not with their key', async () => {
    const [one, two] = [await logIn(), await logIn()];
    expect(claimsOf(one.access).v6_session).not.toBe(claimsOf(two.access).v6_session);
    expect(await status(world.northNode.apiKey)).toBe(422);
  });

  it('V7.2.3 sessions have 122 random bits in an authenticated token', async () => {
    const sessions = new Set<unknown>();
    for (let i = 0; i < 4; i += 1) sessions.add(claimsOf((await logIn()).access).v6_session);
    expect(sessions.size).toBe(4);
    for (const session of sessions) expect(session).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  });

  it('V7.3.1 a session that is not used ends with its refresh token', async () => {
    const { refresh } = await logIn();
    await world.clock.turn(7_201_000);
    const late = await world.call('POST', '/token/refresh', { token: refresh });
    expect([late.status, late.body.code]).toStrictEqual([401, 'V6_AUTH_TOKEN_EXPIRED']);
  });

  it('V7.3.2 a session of a user ends after session_max_hours, used or not', async () => {
    await world.close();
    world = await createWorld({ accounts: { sessionMaxHours: 1 } });
    const { access, refresh } = await logIn();
    expect(Number(claimsOf(refresh).exp) - Number(claimsOf(refresh).iat)).toBe(3600);
    await world.clock.turn(3_601_000);
    expect(await status(access)).toBe(401);
    expect((await world.call('POST', '/token/refresh', { token: refresh })).status).toBe(401);
  });

  it('V7.4.1 after a logout neither token of the session is good', async () => {
    const { access, refresh } = await logIn();
    await world.call('POST', '/token/logout', { token: access });
    expect(await status(access)).toBe(401);
    expect((await world.call('POST', '/token/refresh', { token: refresh })).status).toBe(401);
    expect(world.events).toContainEqual({ type: 'account-ended', accountId: world.nora.id });
  });

  it('V7.4.2 all sessions end with their user or node', async () => {
    const { refresh } = await logIn('enno');
    await world.call('DELETE', `/user/${world.enno.id}`, { token: world.root.token });
    expect((await world.call('POST', '/token/refresh', { token: refresh })).status).toBe(401);
    await world.call('DELETE', `/node/${world.eastNode.node.id}`, { token: world.root.token });
    expect(await status(world.eastNode.token)).toBe(401);
  });

  it('V7.4.3 all sessions end when the password changes', async () => {
    const other = await logIn();
    await world.call('PATCH', '/password/change', {
      token: world.nora.token,
      body: { current_password: PASSWORD, new_password: 'Other-pass-2' },
    });
    expect(await status(other.access)).toBe(401);
    expect(await status(world.nora.token)).toBe(401);
  });

  it('V7.4.5 an administrator ends the sessions of a user', async () => {
    const end = (token: string) =>
      world.call('POST', '/token/logout', { token, body: { user: world.nora.id } });
    expect((await end(world.enno.token)).status).toBe(403);
    expect((await end(world.root.token)).status).toBe(200);
    expect(await status(world.nora.token)).toBe(401);
  });

  it('V7.5.2 users see their sessions and end any of them', async () => {
    const other = await logIn();
    const list = await world.call('GET', '/token/session', { token: world.nora.token });
    const ids = (list.body.data as { id: string }[]).map(({ id }) => id);
    expect(ids).toContain(claimsOf(other.access).v6_session);
    const session = claimsOf(other.access).v6_session;
    await world.call('POST', '/token/logout', { token: world.nora.token, body: { session } });
    expect(await status(other.access)).toBe(401);
  });

  it('V7.4.1 a refresh token that two parties hold ends its session', async () => {
    const { refresh } = await logIn();
    const next = (await world.call('POST', '/token/refresh', { token: refresh })).body;
    expect(await status(String(next.access_token))).toBe(200);
    await world.clock.turn(60_000);
    expect((await world.call('POST', '/token/refresh', { token: refresh })).status).toBe(401);
    expect(await status(String(next.access_token))).toBe(401);
  });
});

describe('V9 self-contained tokens', () => {
  const claims = () => claimsOf(world.nora.token);

  it('V9.1.1 a token with another signature, or changed claims, is refused', async () => {
    const [head = '', , signature = ''] = world.nora.token.split('.');
    const body = Buffer.from(JSON.stringify({ ...claims(), sub: world.root.id })).toString(
      'base64url',
    );
    expect(await status(`${head}.${body}.${signature}`)).toBe(422);
    expect(await status(mint(claims(), Buffer.alloc(32, 8)))).toBe(422);
    expect(await status(mint(claims(), KEY))).toBe(200);
  });

  it.each([
    ['none', { alg: 'none' }],
    ['None', { alg: 'None', typ: 'JWT' }],
    ['HS512', { alg: 'HS512' }],
    ['RS256', { alg: 'RS256' }],
    ['EdDSA', { alg: 'EdDSA' }],
  ])('V9.1.2 the algorithm %s is refused', async (_name, header) => {
    expect(await status(mint(claims(), KEY, header))).toBe(422);
    const unsigned = mint(claims(), KEY, header).replace(/[^.]*$/, '');
    expect(await status(unsigned)).toBe(422);
  });

  it.each(['jwk', 'jku', 'x5u', 'x5c', 'kid', 'crit'])(
    'V9.1.3 a key that the header %s brings along is not used',
    async (name) => {
      const own = Buffer.alloc(32, 9);
      const value =
        name === 'jwk' ? { kty: 'oct', k: own.toString('base64url') } : 'https://evil.example';
      expect(await status(mint(claims(), own, { alg: 'HS256', [name]: value }))).toBe(422);
    },
  );

  it('V9.2.1 a token counts between nbf and exp only', async () => {
    const now = Math.floor(world.clock.now().getTime() / 1000);
    expect(await status(mint({ ...claims(), nbf: now + 60 }, KEY))).toBe(422);
    expect(await status(mint({ ...claims(), exp: now - 1 }, KEY))).toBe(401);
    expect(await status(mint({ ...claims(), exp: 'later' }, KEY))).toBe(422);
  });

  it('V9.2.2 each kind of token is good for its own use', async () => {
    const task = await createTask(world, [world.north]);
    const container = await containerOf(world, world.northNode.token, task);
    const refresh = (token: string) => world.call('POST', '/token/refresh', { token });
    expect(await status(world.nora.refresh)).toBe(422);
    for (const token of [world.nora.token, container])
      expect((await refresh(token)).status).toBe(422);
    expect((await refresh(mint({ ...claimsOf(container), type: 'refresh' }, KEY))).status).toBe(
      403,
    );
    expect(await status(mint({ ...claims(), client_type: 'node' }, KEY))).toBe(401);
    expect((await world.call('GET', '/vpn', { token: container })).status).toBe(403);
  });

  it('V9.2.3, V9.2.4 a token for another server with the same key is refused', async () => {
    const { clock } = world;
    const settings = { key: KEY, accessSeconds: 60, refreshSeconds: 120, clock };
    const [one, two] = ['one', 'two'].map((audience) => createTokens({ ...settings, audience }));
    const subject = { kind: 'user', id: 1, roles: [], generation: 1 } as const;
    const made = await one?.account(subject);
    await expect(one?.read(made?.access ?? '', 'access')).resolves.toMatchObject({ id: 1 });
    await expect(two?.read(made?.access ?? '', 'access')).rejects.toMatchObject({
      code: 'V6_AUTH_TOKEN_INVALID',
    });
  });
});

describe('V8 authorization by identity', () => {
  it('V8.2.1 a route is for the kinds of callers that it names', async () => {
    const task = await createTask(world, [world.north]);
    const container = await containerOf(world, world.northNode.token, task);
    const calls = [
      ['GET', '/vpn', world.nora.token],
      ['GET', '/user', world.northNode.token],
      ['POST', '/token/container', world.nora.token],
      ['POST', '/organization', world.northNode.token],
      ['PATCH', '/password/change', world.northNode.token],
      ['POST', '/recover/node', container],
      ['POST', '/token/user/validate', container],
      ['POST', '/token/logout', container],
    ] as const;
    for (const [method, path, token] of calls) {
      const body = method === 'GET' ? undefined : bodyFor(path);
      const answer = await world.call(method, path, { token, body });
      expect([path, answer.status, answer.body.code]).toStrictEqual([
        path,
        403,
        'V6_AUTH_FORBIDDEN',
      ]);
    }
  });

  it('V8.3.1 roles in a token change nothing: rights come from the database', async () => {
    const forged = mint({ ...claimsOf(world.vera.token), roles: ['Root'] }, KEY);
    const answer = await world.call('POST', '/organization', {
      token: forged,
      body: { name: 'Mine' },
    });
    expect(answer.status).toBe(403);
  });

  it('V8.4.1 the key of a node opens its own collaboration only', async () => {
    const ids = async (token: string): Promise<unknown[]> =>
      ((await world.call('GET', '/collaboration', { token })).body.data as { id: number }[]).map(
        ({ id }) => id,
      );
    expect(await ids(world.northNode.token)).toStrictEqual([world.trial]);
    expect(await ids(world.northOther.token)).toStrictEqual([world.other]);
  });
});

function bodyFor(path: string): object | undefined {
  if (path === '/token/container') return { task_id: 1, image: 'x' };
  if (path === '/organization') return { name: 'Mine' };
  if (path === '/password/change')
    return { current_password: PASSWORD, new_password: 'Other-pass-2' };
  if (path === '/recover/node') return { id: 1 };
  return undefined;
}
