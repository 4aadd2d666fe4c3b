import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLoginFile } from '../../../../src/adapters/login-file/login-file.ts';
import type { Login, LoginStore } from '../../../../src/diagnose/interfaces/login-store.ts';

let folder: string;
let file: string;
let logins: LoginStore;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'v6-logins-'));
  file = path.join(folder, 'v6', 'logins.json');
  logins = createLoginFile(file);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const login = (username: string): Login => ({
  serverUrl: 'http://localhost:7601/api',
  username,
  accessToken: `access of ${username}`,
  refreshToken: 'refresh',
  refreshPath: '/api/token/refresh',
});

const currentName = async (): Promise<string | undefined> => (await logins.find())?.name;

describe('logins in a file', () => {
  it('makes a saved login the current one', async () => {
    await logins.save('a', login('ann'));
    await logins.save('b', login('ben'));
    expect(await logins.get()).toEqual({ name: 'b', ...login('ben') });
    expect(await logins.get('a')).toEqual({ name: 'a', ...login('ann') });
    expect(await logins.list()).toEqual([
      { name: 'a', current: false },
      { name: 'b', current: true },
    ]);
  });

  it('goes back to the login before when the current one is removed', async () => {
    for (const name of ['a', 'b', 'demo']) await logins.save(name, login(name));
    await logins.select('a');
    await logins.save('demo', login('again'));
    await logins.remove('demo');
    expect(await currentName()).toBe('a');
    await logins.remove('a');
    expect(await currentName()).toBe('b');
    await logins.remove('b');
    expect(await currentName()).toBeUndefined();
    // The last one leaves nothing behind.
    expect(await readdir(folder)).toEqual([]);
    await logins.remove('b');
  });

  it('keeps the current login when another one is removed', async () => {
    await logins.save('a', login('ann'));
    await logins.save('b', login('ben'));
    await logins.remove('a');
    expect(await currentName()).toBe('b');
  });

  it('is 0600 in a folder of 0700, replaced as a whole, without leftovers', async () => {
    await logins.save('a', login('ann'));
    await logins.save('b', login('ben'));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(path.dirname(file))).mode & 0o777).toBe(0o700);
    expect(await readdir(path.dirname(file))).toEqual(['logins.json']);
  });

  it('narrows the mode of a file that others could read', async () => {
    await logins.save('a', login('ann'));
    const { chmod } = await import('node:fs/promises');
    await chmod(file, 0o644);
    await logins.save('b', login('ben'));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('replaces tokens, and brings no login back that was removed meanwhile', async () => {
    await logins.save('a', login('ann'));
    const tokens = { accessToken: 'new', refreshToken: 'newer', refreshPath: '/other' };
    await logins.updateTokens('a', tokens);
    expect(await logins.get('a')).toMatchObject({ username: 'ann', ...tokens });
    await logins.remove('a');
    await logins.updateTokens('a', tokens);
    expect(await logins.find('a')).toBeUndefined();
  });

  it('says what there is when a login is missing', async () => {
    await expect(logins.get()).rejects.toMatchObject({ code: 'V6_LOGIN_NOT_FOUND' });
    await logins.save('a', login('ann'));
    await expect(logins.get('b')).rejects.toMatchObject({
      code: 'V6_LOGIN_NOT_FOUND',
      details: { known: ['a'] },
    });
    await expect(logins.select('toString')).rejects.toMatchObject({ code: 'V6_LOGIN_NOT_FOUND' });
  });

  it.each([
    'not JSON',
    '[]',
    '{"version":2,"logins":{}}',
    '{"version":1,"logins":{"a":{"username":"x"}}}',
  ])('refuses a file that is not ours and leaves it alone: %s', async (text) => {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
    await expect(logins.save('a', login('ann'))).rejects.toMatchObject({
      code: 'V6_CONFIG_SYNTAX',
    });
    expect(await readFile(file, 'utf8')).toBe(text);
  });

  it('says when it cannot be written', async () => {
    await writeFile(path.join(folder, 'v6'), 'a file where the folder should be');
    await expect(logins.save('a', login('ann'))).rejects.toMatchObject({ code: 'V6_CONFIG_WRITE' });
  });
});
