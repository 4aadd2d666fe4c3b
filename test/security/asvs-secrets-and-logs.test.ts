import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newApiKey } from '../../src/server/auth/api-keys.ts';
import { hashPassword } from '../../src/server/auth/passwords.ts';
import { seal, unseal } from '../../src/server/auth/sealed.ts';
import { loadServerKeys } from '../../src/server/auth/secret.ts';
import { createServerLogger } from '../../src/server/logging.ts';
import {
  containerOf,
  createTask,
  createWorld,
  PASSWORD,
  type World,
} from '../support/server-app.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { codeOf, mailedToken } from '../support/totp.ts';

let world: World;
let folder: TempFolder;
beforeEach(async () => {
  world = await createWorld({ hasMail: true });
  folder = await tempFolder();
});
afterEach(async () => {
  await world.close();
  await folder.remove();
});

const login = (username: string, password: string, code?: string) =>
  world.call('POST', '/token/user', {
    body: { username, password, ...(code === undefined ? {} : { mfa_code: code }) },
    from: '192.0.2.1',
  });

describe('V11 cryptography', () => {
  it('V11.2.1, V11.4.2 passwords are argon2id with 19 MiB and two passes, each with its own salt', async () => {
    const [one, two] = [await hashPassword(PASSWORD), await hashPassword(PASSWORD)];
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/);
    expect(one).not.toBe(two);
    const started = performance.now();
    await hashPassword(PASSWORD);
    expect(performance.now() - started).toBeGreaterThan(5);
  });

  it('V11.3.2, V11.3.3 what is encrypted at rest is authenticated, for its record alone', () => {
    const key = Buffer.alloc(32, 1);
    const sealed = seal(key, 'second factor of 7', 'SECRET');
    expect(sealed).not.toContain(Buffer.from('SECRET').toString('base64').slice(0, 6));
    expect(unseal(key, 'second factor of 7', sealed)).toBe('SECRET');
    expect(unseal(key, 'second factor of 8', sealed)).toBeUndefined();
    expect(unseal(Buffer.alloc(32, 2), 'second factor of 7', sealed)).toBeUndefined();
    const bytes = Buffer.from(sealed, 'base64');
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    expect(unseal(key, 'second factor of 7', bytes.toString('base64'))).toBeUndefined();
    expect(seal(key, 'x', 'SECRET')).not.toBe(seal(key, 'x', 'SECRET'));
  });

  it('V11.5.1 keys of nodes are random', () => {
    const keys = new Set(Array.from({ length: 1000 }, newApiKey));
    expect(keys.size).toBe(1000);
    for (const key of keys) expect(key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/);
  });
});

describe('V13 secrets', () => {
  it('V13.3.1, V13.3.2 the secret of a server is made at random, for its owner only, with one key per purpose', () => {
    const keys = loadServerKeys(folder.path, undefined);
    const file = path.join(folder.path, 'server-secret');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const all = Object.values(keys).map((key) => Buffer.from(key as Uint8Array).toString('hex'));
    expect(new Set(all).size).toBe(all.length);
    for (const key of all) {
      expect(key).toHaveLength(64);
      expect(readFileSync(file, 'utf8')).not.toContain(key);
    }
    const again = loadServerKeys(folder.path, undefined);
    expect(Buffer.from(again.jwt)).toStrictEqual(Buffer.from(keys.jwt));
  });

  it('V13.2.3 no user and no node has a known key', async () => {
    for (const [name, password] of [
      ['root', 'root'],
      ['admin', 'admin'],
      ['root', ''],
    ])
      expect([400, 401]).toContain((await login(name ?? '', password ?? '')).status);
  });
});

describe('V16 logs and errors', () => {
  it('V16.2.1, V16.2.2, V16.2.4 a line is JSON with the time in UTC, what happened, who and where from', () => {
    const lines: string[] = [];
    const logger = createServerLogger('info', { write: (line) => void lines.push(line) });
    logger.info('A user logged in', { user: 7, source: '192.0.2.1' });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      msg: 'A user logged in',
      user: 7,
      source: '192.0.2.1',
    });
  });

  it('V16.2.5 passwords, codes, keys and tokens are in no line of the log', async () => {
    await world.close();
    world = await createWorld({ hasMail: true, accounts: { twoFactor: true } });
    const { body } = await login('nora', PASSWORD);
    const secret = String(body.otp_secret);
    const code = codeOf(secret, world.clock.now());
    const tokens = (await login('nora', PASSWORD, code)).body;
    await login('nora', 'Wrong-pass-1', '123456');
    await login(PASSWORD, 'typed-in-the-wrong-field');
    const task = await createTask(world, [world.north]);
    const container = await containerOf(world, world.northNode.token, task);
    await world.call('GET', '/user', { token: container });
    await world.call('POST', '/recover/lost', { body: { username: 'nora' } });
    await world.mails.idle();
    const mailed = mailedToken(world.mailer.mails.at(-1)?.text);
    await world.call('POST', '/recover/reset', { body: { reset_token: mailed, password: 'weak' } });
    const text = world.lines.join('\n');
    expect(text).toContain('A login was refused');
    for (const one of [
      PASSWORD,
      'Wrong-pass-1',
      'typed-in-the-wrong-field',
      secret,
      code,
      mailed,
      container,
      String(tokens.access_token),
      String(tokens.refresh_token),
      world.northNode.apiKey,
    ])
      expect(text).not.toContain(one);
  });

  it('V16.3.1 logins and refused logins are in the log, with the factors and the reason', async () => {
    await login('nora', PASSWORD);
    await login('nora', 'Wrong-pass-1');
    await login('nobody', 'Wrong-pass-1');
    await world.call('POST', '/token/node', { body: { api_key: newApiKey() } });
    const text = world.lines.join('\n');
    expect(text).toContain(
      `A user logged in {"user":${world.nora.id},"source":"192.0.2.1","factors":1}`,
    );
    expect(text).toContain(
      `"reason":"wrong password","source":"192.0.2.1","user":${world.nora.id}`,
    );
    expect(text).toContain('"reason":"unknown user"');
    expect(text).toContain('"reason":"unknown key"');
  });

  it('V16.3.2, V16.3.3 refused rights, forged tokens and refused rates are in the log', async () => {
    await world.call('POST', '/organization', { token: world.vera.token, body: { name: 'Mine' } });
    await world.call('GET', '/task', { token: 'a.b.c' });
    for (let i = 0; i < 6; i += 1) await login('nora', 'Wrong-pass-1');
    const text = world.lines.join('\n');
    expect(text).toContain(`"code":"V6_AUTH_FORBIDDEN","caller":"user ${world.vera.id}"`);
    expect(text).toContain('"code":"V6_AUTH_TOKEN_INVALID","caller":"nobody"');
    expect(text).toContain('"code":"V6_REQUEST_RATE"');
  });

  it('V16.4.1 line breaks and control characters of a caller make no line of their own', () => {
    const lines: string[] = [];
    const logger = createServerLogger('info', { write: (line) => void lines.push(line) });
    const evil = 'x"}\n{"level":"info","msg":"A user logged in"}\r\n\u001b[31m';
    logger.info('A request was refused', { route: evil, [evil]: evil });
    logger.warn(evil);
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      for (const control of ['\n', '\r', '\u001b'])
        expect(line.trimEnd().includes(control)).toBe(false);
      expect(() => JSON.parse(line) as unknown).not.toThrow();
    }
  });

  it('V16.5.1 a bug is answered without its inside', async () => {
    world.store.nodes.list = () => Promise.reject(new TypeError('SELECT secret FROM inside'));
    const answer = await world.call('GET', '/node', { token: world.root.token });
    expect([answer.status, answer.body]).toStrictEqual([
      500,
      { msg: 'Internal error of the server', code: 'V6_BUG' },
    ]);
  });

  it('V16.5.2, V16.5.3 a database that fails lets nobody in', async () => {
    const { token } = world.root;
    await world.store.close();
    for (const answer of [
      await world.call('GET', '/task', { token }),
      await login('nora', PASSWORD),
      await world.call('POST', '/token/node', { body: { api_key: world.northNode.apiKey } }),
      await world.call('POST', '/token/refresh', { token: world.root.refresh }),
    ])
      expect(answer.status).toBeGreaterThanOrEqual(500);
  });
});
