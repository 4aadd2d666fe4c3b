import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { hashPassword, verifyPassword } from '../../src/server/auth/passwords.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import { claimsOf } from '../support/claims.ts';
import {
  containerOf,
  createTask,
  createWorld,
  IMAGE,
  INPUT,
  PASSWORD,
  runOf,
  type World,
} from '../support/server-app.ts';
import { caller } from '../support/server-process.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { codeOf, mailedToken } from '../support/totp.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld({ hasMail: true });
});
afterEach(() => world.close());

const post = (url: string, body: object, token?: string) =>
  world.call('POST', url, { body, token });
const login = (password: string, code?: string) =>
  post('/token/user', {
    username: 'nora',
    password,
    ...(code === undefined ? {} : { mfa_code: code }),
  });

const withSecondFactor = async (): Promise<void> => {
  await world.close();
  world = await createWorld({ hasMail: true, accounts: { twoFactor: true } });
};

const finish = async (task: number): Promise<void> => {
  const run = await runOf(world, task, world.north);
  const body = { status: 'completed', finished_at: '2030-01-01T00:00:01Z' };
  await world.call('PATCH', `/run/${run}`, { token: world.northNode.token, body });
};

describe('upstream weakness: the first user and the secret', () => {
  const start = (folder: string, extra = ''): Promise<RunningServer> => {
    const config = parseServerConfig(`uri: sqlite:///x.sqlite\nip: 127.0.0.1\n${extra}`, 'x');
    return startServer({ config: { ...config, port: 0 }, dataDir: folder, logger: silentLogger });
  };
  const firstLogin = async (server: RunningServer, folder: string) => {
    const password = readFileSync(path.join(folder, 'root-password'), 'utf8').trim();
    const { body } = await caller(server.url)('POST', '/token/user', {
      username: 'root',
      password,
    });
    return String(body.access_token);
  };

  it('password and key of the first user default to root/root: ours is random, in a 0600 file', async () => {
    const folder = await tempFolder();
    const server = await start(folder.path);
    const ask = caller(server.url);
    const guess = await ask('POST', '/token/user', { username: 'root', password: 'root' });
    expect(guess.status).toBe(401);
    expect(await firstLogin(server, folder.path)).toMatch(/^eyJ/);
    await server.stop();
    await folder.remove();
  });

  it('without jwt_secret_key a random secret per process logs everyone out at a restart: ours is kept', async () => {
    const folder = await tempFolder();
    const first = await start(folder.path);
    const token = await firstLogin(first, folder.path);
    await first.stop();
    const second = await start(folder.path);
    expect((await caller(second.url, token)('GET', '/user')).status).toBe(200);
    await second.stop();
    await folder.remove();
  });
});

describe('upstream weakness: container tokens', () => {
  it('never expire and stay valid for reads after the task ended: ours end with their run', async () => {
    const task = await createTask(world, [world.north]);
    const token = await containerOf(world, world.northNode.token, task);
    expect((await world.call('GET', `/task/${task}`, { token })).status).toBe(200);
    await finish(task);
    expect((await world.call('GET', `/task/${task}`, { token })).status).toBe(401);
    expect((await world.call('GET', '/run', { token })).status).toBe(401);
  });

  it('become valid for a new task when SQLite reuses an id: ours are never given out again, job ids neither', async () => {
    const task = await createTask(world, [world.north]);
    const job = (await world.store.tasks.find(task))?.jobId ?? 0;
    const token = await containerOf(world, world.northNode.token, task);
    await world.call('DELETE', `/task/${task}`, { token: world.root.token });
    const next = await createTask(world, [world.north]);
    expect(next).toBeGreaterThan(task);
    expect((await world.store.tasks.find(next))?.jobId).toBeGreaterThan(job);
    expect((await world.call('GET', `/task/${next}`, { token })).status).toBe(401);
  });

  it('are given to any node of the collaboration: ours to a node with an open run of the task', async () => {
    const task = await createTask(world, [world.north]);
    const ask = (token: string) => post('/token/container', { task_id: task, image: IMAGE }, token);
    expect((await ask(world.southNode.token)).status).toBe(403);
    expect((await ask(world.northOther.token)).status).toBe(403);
    expect((await ask(world.northNode.token)).status).toBe(200);
  });
});

describe('upstream weakness: logins', () => {
  it('node login tries bcrypt against every node: ours costs one look-up, with a right key and a wrong one', async () => {
    const time = async (api_key: string): Promise<number> => {
      const start = performance.now();
      for (let i = 0; i < 50; i += 1) await post('/token/node', { api_key });
      return (performance.now() - start) / 50;
    };
    await time(world.northNode.apiKey);
    expect(await time(world.northNode.apiKey)).toBeLessThan(40);
    expect(await time('123e4567-e89b-42d3-a456-426614174001')).toBeLessThan(40);
  });

  it('otp_secret is part of every User answer: ours is in none but the one that shows it first', async () => {
    await withSecondFactor();
    const secret = String((await login(PASSWORD)).body.otp_secret);
    await login(PASSWORD, codeOf(secret, world.clock.now()));
    const { token } = world.root;
    const answers = [
      await world.call('GET', '/user?per_page=100', { token }),
      await world.call('GET', `/user/${world.nora.id}?include_permissions=1`, { token }),
      await world.call('PATCH', `/user/${world.nora.id}`, { token, body: { lastname: 'X' } }),
      await login(PASSWORD),
    ];
    for (const { body } of answers) {
      expect(JSON.stringify(body)).not.toContain(secret);
      expect(JSON.stringify(body)).not.toContain('otp');
    }
  });

  it('enrolment is final at the first password login: ours after the first good code, and each secret replaces the one before', async () => {
    await withSecondFactor();
    const thief = String((await login(PASSWORD)).body.otp_secret);
    const owner = String((await login(PASSWORD)).body.otp_secret);
    expect((await login(PASSWORD, codeOf(thief, world.clock.now()))).status).toBe(401);
    expect((await login(PASSWORD, codeOf(owner, world.clock.now()))).body).toHaveProperty(
      'access_token',
    );
  });

  it('TOTP codes can be replayed inside their window: ours are good once', async () => {
    await withSecondFactor();
    const secret = String((await login(PASSWORD)).body.otp_secret);
    const code = codeOf(secret, world.clock.now());
    expect((await login(PASSWORD, code)).status).toBe(200);
    expect((await login(PASSWORD, code)).status).toBe(401);
  });

  it('wrong codes do not count as failed logins: ours do', async () => {
    await withSecondFactor();
    const secret = String((await login(PASSWORD)).body.otp_secret);
    await login(PASSWORD, codeOf(secret, world.clock.now()));
    for (let i = 0; i < 5; i += 1) expect((await login(PASSWORD, '000000')).status).toBe(401);
    expect((await login(PASSWORD, '000000')).status).toBe(429);
  });

  it('parallel guesses slip through the lock-out: ours are counted before the password is looked at', async () => {
    const guesses = await Promise.all(
      Array.from({ length: 20 }, (_, i) => login(`Wrong-pass-${i}`)),
    );
    expect(guesses.filter(({ status }) => status === 401)).toHaveLength(5);
    expect((await login(PASSWORD)).status).toBe(429);
  });

  it('bcrypt uses the first 72 bytes of up to 128: ours uses all of them', async () => {
    const long = `${'x'.repeat(100)}-Pass-1`;
    const hash = await hashPassword(long);
    expect(await verifyPassword(long, hash)).toBe(true);
    expect(await verifyPassword(`${'x'.repeat(100)}-Pass-2`, hash)).toBe(false);
  });
});

describe('upstream weakness: tokens of users', () => {
  it('password-reset tokens are reusable and carry the claim of ordinary tokens: ours are good once, for that alone', async () => {
    await post('/recover/lost', { username: 'nora' });
    await world.mails.idle();
    const token = mailedToken(world.mailer.mails[0]?.text);
    expect((await world.call('GET', '/task', { token })).status).toBe(422);
    expect((await world.call('POST', '/token/refresh', { token })).status).toBe(422);
    const reset = (password: string) => post('/recover/reset', { reset_token: token, password });
    expect((await reset('Other-pass-2')).status).toBe(200);
    expect((await reset('Third-pass-3')).status).toBe(400);
    expect((await login('Other-pass-2')).status).toBe(200);
  });

  it('refresh tokens are never rotated out: ours are good once, and a stolen one ends its session', async () => {
    const { body } = await login(PASSWORD);
    const refresh = (token: unknown) =>
      world.call('POST', '/token/refresh', { token: String(token) });
    const next = (await refresh(body.refresh_token)).body;
    await world.call('GET', '/task', { token: String(next.access_token) });
    await world.clock.turn(60_000);
    expect((await refresh(body.refresh_token)).status).toBe(401);
    expect((await refresh(next.refresh_token)).status).toBe(401);
  });

  it('there is no logout: ours ends a session at once', async () => {
    const token = String((await login(PASSWORD)).body.access_token);
    await world.call('POST', '/token/logout', { token });
    expect((await world.call('GET', '/task', { token })).status).toBe(401);
  });

  it('wrong kind of identity is 500 and a missing permission 401: ours are 403, so no client refreshes for nothing', async () => {
    const kind = await world.call('GET', '/vpn', { token: world.nora.token });
    const right = await post('/organization', { name: 'Mine' }, world.vera.token);
    for (const answer of [kind, right])
      expect([answer.status, answer.body.code]).toStrictEqual([403, 'V6_AUTH_FORBIDDEN']);
  });
});

describe('upstream weakness: what nodes and algorithms may touch', () => {
  it('a node may rename or set the VPN ip of another node of its organization: ours only its own', async () => {
    const { token } = world.northNode;
    for (const body of [{ name: 'mine' }, { ip: '10.8.0.9' }])
      for (const { node } of [world.northOther, world.southNode])
        expect((await world.call('PATCH', `/node/${node.id}`, { token, body })).status).toBe(403);
    const own = await world.call('PATCH', `/node/${world.northNode.node.id}`, {
      token,
      body: { ip: '10.8.0.9' },
    });
    expect(own.status).toBe(200);
  });

  it('a node may finish runs of its organization in another collaboration: ours may not', async () => {
    const task = await createTask(world, [world.north]);
    const run = await runOf(world, task, world.north);
    for (const { token } of [world.northOther, world.southNode]) {
      const body = { status: 'failed', finished_at: '2030-01-01T00:00:01Z' };
      expect((await world.call('PATCH', `/run/${run}`, { token, body })).status).toBe(403);
    }
    expect((await world.store.runs.find(run))?.finishedAt).toBeNull();
  });

  it('containers and nodes read tasks, runs and results of all collaborations of their organization: ours of one', async () => {
    const task = await createTask(world, [world.north]);
    const run = await runOf(world, task, world.north);
    for (const token of [world.northOther.token, world.eastNode.token]) {
      for (const list of ['/task', '/run', '/result'])
        expect((await world.call('GET', list, { token })).body.data).toStrictEqual([]);
      for (const one of [`/task/${task}`, `/run/${run}`, `/result/${run}`])
        expect([403, 404]).toContain((await world.call('GET', one, { token })).status);
    }
  });

  it('containers can read another collaboration of their organization: ours cannot', async () => {
    const task = await createTask(world, [world.north]);
    const token = await containerOf(world, world.northNode.token, task);
    const get = (id: number) => world.call('GET', `/collaboration/${id}`, { token });
    expect((await get(world.trial)).status).toBe(200);
    expect([403, 404]).toContain((await get(world.other)).status);
  });

  it('the image of a sub-task is compared with "ends with": ours has to be the same to the byte', async () => {
    const task = await createTask(world, [world.north]);
    const token = await containerOf(world, world.northNode.token, task);
    const subtask = (image: string) =>
      post(
        '/task',
        {
          image,
          name: 'sub',
          collaboration_id: world.trial,
          organizations: [{ id: world.north, input: INPUT }],
        },
        token,
      );
    for (const image of ['echo:1', `evil.example/${IMAGE}`, `${IMAGE} `, IMAGE.toUpperCase()])
      expect([400, 403]).toContain((await subtask(image)).status);
    expect((await subtask(IMAGE)).status).toBe(201);
  });
});

describe('upstream weakness: no limits', () => {
  it('nothing limits request rates, body sizes or per_page: ours are limited, and say so', async () => {
    await world.close();
    world = await createWorld({ transport: { requestsPerMinute: 60 } });
    const { token } = world.nora;
    expect((await world.call('GET', '/task?per_page=1001', { token })).status).toBe(400);
    const large = { username: 'x'.repeat(2_000_000), password: 'x' };
    expect((await post('/token/user', large)).status).toBe(413);
    let last = 0;
    for (let i = 0; i < 61; i += 1) last = (await world.call('GET', '/task', { token })).status;
    expect(last).toBe(429);
    expect(claimsOf(token).sub).toBe(world.nora.id);
  });
});
