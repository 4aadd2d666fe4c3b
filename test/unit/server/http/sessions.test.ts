import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createWorld, PASSWORD, type World } from '../../../support/server-app.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

interface Pair {
  readonly access: string;
  readonly refresh: string;
}

const pairOf = (body: Readonly<Record<string, unknown>>): Pair => ({
  access: String(body.access_token),
  refresh: String(body.refresh_token),
});

async function logIn(): Promise<Pair> {
  const body = { username: 'nora', password: PASSWORD };
  return pairOf((await world.call('POST', '/token/user', { body })).body);
}

async function logInNode(): Promise<Pair> {
  const body = { api_key: world.northNode.apiKey };
  return pairOf((await world.call('POST', '/token/node', { body })).body);
}

const refresh = (token: string) => world.call('POST', '/token/refresh', { token });
const refreshed = async ({ refresh: token }: Pair): Promise<Pair> => {
  const answer = await refresh(token);
  expect(answer.status).toBe(200);
  return pairOf(answer.body);
};
const works = async ({ access }: Pair): Promise<boolean> =>
  (await world.call('GET', '/task', { token: access })).status === 200;

describe.each([
  ['user', logIn],
  ['node', logInNode],
])('the refresh token of a %s', (_kind, begin) => {
  it('is good once: used again later, its session ends with all its tokens', async () => {
    const first = await begin();
    const second = await refreshed(first);
    expect(await works(second)).toBe(true);
    await world.clock.turn(31_000);
    expect((await refresh(first.refresh)).status).toBe(401);
    expect(await works(second)).toBe(false);
    expect((await refresh(second.refresh)).status).toBe(401);
    expect(world.lines.join()).toContain('used twice');
  });

  it('may be repeated at once, by a retry or by two threads, and both answers work', async () => {
    const first = await begin();
    const [a, b] = await Promise.all([refreshed(first), refreshed(first)]);
    const c = await refreshed(first);
    for (const pair of [a, b, c]) expect(await works(pair)).toBe(true);
    await refreshed(b);
    await refreshed(a);
  });

  it('may be repeated much later when the answer was lost', async () => {
    const first = await begin();
    await refreshed(first);
    await world.clock.turn(3_600_000);
    const second = await refreshed(first);
    expect(await works(second)).toBe(true);
    await world.clock.turn(60_000);
    expect(await works(await refreshed(second))).toBe(true);
  });

  it('is one of many: other logins of the account go on', async () => {
    const [one, two] = [await begin(), await begin()];
    await refreshed(one);
    await works(await refreshed(one));
    await world.clock.turn(31_000);
    expect((await refresh(one.refresh)).status).toBe(401);
    expect(await works(await refreshed(two))).toBe(true);
  });
});

describe('a session', () => {
  it('of a node lives on for weeks of refreshes', async () => {
    let pair = await logInNode();
    for (let hour = 0; hour < 24 * 40; hour += 1) {
      await world.clock.turn(3_500_000);
      pair = await refreshed(pair);
    }
    expect(await works(pair)).toBe(true);
  });

  it('of a user ends after session_max_hours however often it is refreshed', async () => {
    await world.close();
    world = await createWorld({ accounts: { sessionMaxHours: 3 } });
    let pair = await logIn();
    const start = world.clock.now().getTime();
    while (world.clock.now().getTime() - start < 2.5 * 3_600_000) {
      await world.clock.turn(1_800_000);
      pair = await refreshed(pair);
    }
    await world.clock.turn(1_800_000);
    const late = await refresh(pair.refresh);
    expect([late.status, late.body.code]).toStrictEqual([401, 'V6_AUTH_TOKEN_EXPIRED']);
    expect(await works(pair)).toBe(false);
  });

  it('ends with POST /token/logout, and the others go on', async () => {
    const [one, two] = [await logIn(), await logIn()];
    const answer = await world.call('POST', '/token/logout', { token: one.access });
    expect(answer.status).toBe(200);
    expect(await works(one)).toBe(false);
    expect((await refresh(one.refresh)).status).toBe(401);
    expect(await works(two)).toBe(true);
    await world.call('POST', '/token/logout', { token: two.access, body: { all: true } });
    expect(await works(two)).toBe(false);
    expect(await works({ access: world.nora.token, refresh: '' })).toBe(false);
  });

  it('of a node that was never refreshed ends too', async () => {
    const pair = await logInNode();
    await world.call('POST', '/token/logout', { token: pair.access });
    expect(await works(pair)).toBe(false);
    expect((await refresh(pair.refresh)).status).toBe(401);
  });

  it('stands in the own list, from where another one can be ended', async () => {
    const [one, two] = [await logIn(), await logIn()];
    const list = await world.call('GET', '/token/session', { token: one.access });
    const rows = list.body.data as { id: string; source: string; is_current: boolean }[];
    expect(rows).toHaveLength(3);
    expect(rows.filter((row) => row.is_current)).toHaveLength(1);
    expect(rows.filter((row) => row.source === '127.0.0.1')).toHaveLength(2);
    const claims = JSON.parse(
      Buffer.from(two.access.split('.')[1] ?? '', 'base64url').toString(),
    ) as { v6_session: string };
    const end = (session: string, token: string) =>
      world.call('POST', '/token/logout', { token, body: { session } });
    expect((await end(claims.v6_session, world.enno.token)).status).toBe(404);
    expect((await end(claims.v6_session, one.access)).status).toBe(200);
    expect(await works(two)).toBe(false);
    expect(await works(one)).toBe(true);
  });

  it('of another user is ended by who may edit that user', async () => {
    const end = (token: string, user: number) =>
      world.call('POST', '/token/logout', { token, body: { user } });
    expect((await end(world.vera.token, world.nora.id)).status).toBe(403);
    expect((await end(world.northNode.token, world.nora.id)).status).toBe(403);
    expect((await end(world.root.token, world.nora.id)).status).toBe(200);
    expect(await works({ access: world.nora.token, refresh: '' })).toBe(false);
    expect((await end(world.root.token, 999)).status).toBe(404);
  });

  it('is forgotten when its tokens have run out', async () => {
    const pair = await logIn();
    await world.call('POST', '/token/logout', { token: pair.access });
    await world.clock.turn(3 * 3_600_000);
    await logIn();
    expect(await world.store.sessions.list(world.nora.id, new Date(0))).toHaveLength(1);
  });
});
