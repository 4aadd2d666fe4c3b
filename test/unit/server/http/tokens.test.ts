import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  containerOf,
  createTask,
  createWorld,
  IMAGE,
  PASSWORD,
  runOf,
  type World,
} from '../../../support/server-app.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const login = (username: string, password: string, from = '192.0.2.1') =>
  world.call('POST', '/token/user', { body: { username, password }, from });

const ask = (token: string, body: object) =>
  world.call('POST', '/token/container', { token, body });

const via = (from: string, forwarded: string, password: string) =>
  world.app.inject({
    method: 'POST',
    url: '/api/token/user',
    remoteAddress: from,
    headers: { 'x-forwarded-for': forwarded },
    payload: { username: 'nora', password },
  });

describe('login of a user', () => {
  it('gives both tokens and the paths that clients follow', async () => {
    const answer = await login('nora', PASSWORD);
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      refresh_url: '/api/token/refresh',
      user_url: `/api/user/${world.nora.id}`,
    });
    expect(answer.headers['jwt-token']).toBe(answer.body.access_token);
  });

  it('answers an unknown user and a wrong password with the same words', async () => {
    const wrong = await login('nora', 'Wrong-pass-1');
    const unknown = await login('nobody', 'Wrong-pass-1');
    expect([wrong.status, wrong.body]).toStrictEqual([401, unknown.body]);
  });

  it('stops guesses from one place, also parallel ones, and lets others in', async () => {
    const guesses = await Promise.all(
      Array.from({ length: 8 }, (_, i) => login('nora', `Wrong-pass-${i}`)),
    );
    const statuses = guesses.map(({ status }) => status).toSorted((a, b) => a - b);
    expect(statuses).toStrictEqual([401, 401, 401, 401, 401, 429, 429, 429]);
    expect((await login('nora', PASSWORD)).status).toBe(429);
    expect((await login('enno', PASSWORD)).status).toBe(200);
    expect((await login('nora', PASSWORD, '192.0.2.2')).status).toBe(200);
    await world.clock.turn(15 * 60_000);
    expect((await login('nora', PASSWORD)).status).toBe(200);
  });

  it('knows callers behind a proxy on this machine by what the proxy says, and no others', async () => {
    for (let i = 0; i < 5; i += 1) await via('127.0.0.1', '198.51.100.7', 'Wrong-pass-1');
    expect((await via('127.0.0.1', '198.51.100.7', PASSWORD)).statusCode).toBe(429);
    expect((await via('127.0.0.1', '198.51.100.8', PASSWORD)).statusCode).toBe(200);
    for (let i = 0; i < 5; i += 1) await via('192.0.2.9', `198.51.100.${i}`, 'Wrong-pass-1');
    expect((await via('192.0.2.9', '198.51.100.99', PASSWORD)).statusCode).toBe(429);
  });

  it('never tells whether a guessed name exists, by being stopped either', async () => {
    for (let i = 0; i < 5; i += 1) await login('nobody', 'Wrong-pass-1');
    expect((await login('nobody', 'Wrong-pass-1')).status).toBe(429);
  });
});

describe('login of a node', () => {
  it('takes the API key, and refuses others', async () => {
    const post = (api_key: string) => world.call('POST', '/token/node', { body: { api_key } });
    const good = await post(world.northNode.apiKey);
    expect(good.body).toMatchObject({ node_url: `/api/node/${world.northNode.node.id}` });
    const unknown = await post('123e4567-e89b-42d3-a456-426614174001');
    expect([unknown.status, unknown.body.code]).toStrictEqual([401, 'V6_AUTH_API_KEY']);
    expect((await post('no uuid')).status).toBe(400);
  });

  it('is in no answer again, and not in the database', async () => {
    const { id } = world.northNode.node;
    const answer = await world.call('GET', `/node/${id}`, { token: world.root.token });
    expect(JSON.stringify(answer.body)).not.toContain(world.northNode.apiKey);
    expect(answer.body).not.toHaveProperty('api_key');
  });

  it('ends with a reset of the key: old key, old tokens, old connections', async () => {
    const { node, apiKey, token } = world.northNode;
    const reset = await world.call('POST', '/recover/node', {
      token: world.root.token,
      body: { id: node.id },
    });
    expect(reset.status).toBe(200);
    expect((await world.call('GET', '/run', { token })).status).toBe(401);
    const old = await world.call('POST', '/token/node', { body: { api_key: apiKey } });
    expect(old.status).toBe(401);
    const again = await world.call('POST', '/token/node', { body: reset.body });
    expect(again.status).toBe(200);
    expect(world.events).toContainEqual({ type: 'account-ended', accountId: node.id });
  });
});

describe('refresh', () => {
  it('gives new tokens for a refresh token only', async () => {
    const refreshed = await world.call('POST', '/token/refresh', { token: world.nora.refresh });
    expect(refreshed.status).toBe(200);
    const { access_token: token } = refreshed.body as { access_token: string };
    expect((await world.call('GET', '/task', { token })).status).toBe(200);
    const wrong = await world.call('POST', '/token/refresh', { token: world.nora.token });
    expect([wrong.status, wrong.body.code]).toStrictEqual([422, 'V6_AUTH_TOKEN_INVALID']);
    expect((await world.call('GET', '/task', { token: world.nora.refresh })).status).toBe(422);
  });
});

describe('access', () => {
  it('without a token, with an expired one and with a deleted user is 401', async () => {
    expect((await world.call('GET', '/task')).body.code).toBe('V6_AUTH_REQUIRED');
    await world.call('DELETE', `/user/${world.enno.id}`, { token: world.root.token });
    expect((await world.call('GET', '/task', { token: world.enno.token })).status).toBe(401);
    await world.clock.turn(3_601_000);
    const expired = await world.call('GET', '/task', { token: world.nora.token });
    expect([expired.status, expired.body.code]).toStrictEqual([401, 'V6_AUTH_TOKEN_EXPIRED']);
  });

  it('ends for all tokens when the password changes', async () => {
    const change = (current_password: string, new_password: string) =>
      world.call('PATCH', '/password/change', {
        token: world.nora.token,
        body: { current_password, new_password },
      });
    expect((await change('Wrong-pass-1', 'Other-pass-2')).status).toBe(401);
    expect((await change(PASSWORD, 'weak')).status).toBe(400);
    expect((await change(PASSWORD, 'Other-pass-2')).status).toBe(200);
    expect((await world.call('GET', '/task', { token: world.nora.token })).status).toBe(401);
    expect((await login('nora', 'Other-pass-2')).status).toBe(200);
  });
});

describe('token of an algorithm container', () => {
  it('is for a node with an open run in the task and for its very image', async () => {
    const task = await createTask(world, [world.north]);
    const { token } = world.northNode;
    expect((await ask(token, { task_id: task, image: IMAGE })).status).toBe(200);
    expect((await ask(token, { task_id: 999, image: IMAGE })).status).toBe(400);
    expect((await ask(token, { task_id: task, image: `evil/${IMAGE}` })).status).toBe(403);
    for (const other of [world.southNode, world.northOther])
      expect((await ask(other.token, { task_id: task, image: IMAGE })).status).toBe(403);
    expect((await ask(world.nora.token, { task_id: task, image: IMAGE })).status).toBe(403);
  });

  it('ends with its run, for reads too', async () => {
    const task = await createTask(world);
    const token = await containerOf(world, world.northNode.token, task);
    expect((await world.call('GET', `/task/${task}`, { token })).status).toBe(200);
    const run = await runOf(world, task, world.north);
    await world.call('PATCH', `/run/${run}`, {
      token: world.northNode.token,
      body: { status: 'completed' },
    });
    const late = await world.call('GET', `/task/${task}`, { token });
    expect([late.status, late.body.code]).toStrictEqual([401, 'V6_AUTH_TOKEN_EXPIRED']);
    const again = await ask(world.northNode.token, { task_id: task, image: IMAGE });
    expect(again.status).toBe(400);
  });

  it('dies with its task, whose id is never used again', async () => {
    const task = await createTask(world, [world.north]);
    const token = await containerOf(world, world.northNode.token, task);
    await world.call('DELETE', `/task/${task}`, { token: world.root.token });
    const next = await createTask(world, [world.north]);
    expect(next).toBeGreaterThan(task);
    expect((await world.call('GET', `/task/${next}`, { token })).status).toBe(401);
  });
});
