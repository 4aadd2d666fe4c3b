import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore } from '../../../../src/adapters/database/open.ts';
import { apiKeyDigest, isApiKey, newApiKey } from '../../../../src/server/auth/api-keys.ts';
import { ensureFirstUser } from '../../../../src/server/auth/first-user.ts';
import {
  checkPasswordRule,
  hashPassword,
  randomPassword,
  verifyPassword,
} from '../../../../src/server/auth/passwords.ts';
import { FIXED_ROLES } from '../../../../src/server/auth/roles.ts';
import { checkSecretBelongs, loadServerKeys } from '../../../../src/server/auth/secret.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'v6-secret-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const openMemory = () =>
  openStore({ uri: 'sqlite:///:memory:', dataDir: folder, roles: FIXED_ROLES });

describe('secret of the server', () => {
  it('is made once, readable by its owner only, and gives the same keys again', () => {
    const first = loadServerKeys(folder, undefined);
    expect(loadServerKeys(folder, undefined)).toStrictEqual(first);
    expect(statSync(path.join(folder, 'server-secret')).mode & 0o777).toBe(0o600);
    expect(first.apiKey).not.toStrictEqual(first.vpnTokens);
  });

  it('leaves signing to jwt_secret_key, and nothing else', () => {
    const without = loadServerKeys(folder, undefined);
    const with_ = loadServerKeys(folder, 'shared');
    expect(Buffer.from(with_.jwt).toString()).toBe('shared');
    expect(with_.apiKey).toStrictEqual(without.apiKey);
  });

  it('is refused when damaged', () => {
    writeFileSync(path.join(folder, 'server-secret'), 'oops');
    expect(() => loadServerKeys(folder, undefined)).toThrow(/damaged/);
  });

  it('must be that of the database', async () => {
    const store = await openMemory();
    const keys = loadServerKeys(folder, undefined);
    await checkSecretBelongs(store.meta, keys);
    await checkSecretBelongs(store.meta, keys);
    rmSync(path.join(folder, 'server-secret'));
    await expect(
      checkSecretBelongs(store.meta, loadServerKeys(folder, undefined)),
    ).rejects.toMatchObject({ code: 'V6_CONFIG_INVALID' });
    await store.close();
  });
});

describe('first user', () => {
  it('gets a random password in a 0600 file, once', async () => {
    const store = await openMemory();
    const file = await ensureFirstUser(store, folder);
    expect(statSync(file ?? '').mode & 0o777).toBe(0o600);
    const password = readFileSync(file ?? '', 'utf8').trim();
    const found = await store.users.findLogin('root');
    expect(await verifyPassword(password, found?.passwordHash ?? '')).toBe(true);
    expect(await verifyPassword('root', found?.passwordHash ?? '')).toBe(false);
    expect(found?.user.roles.map((role) => [role.id, role.name])).toStrictEqual([[1, 'Root']]);
    expect(await ensureFirstUser(store, folder)).toBeUndefined();
    await store.close();
  });
});

describe('passwords', () => {
  it('are kept as argon2id with their parameters and a salt', async () => {
    const hash = await hashPassword('Right-pass-1');
    expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await hashPassword('Right-pass-1')).not.toBe(hash);
    expect(await verifyPassword('Right-pass-1', hash)).toBe(true);
    expect(await verifyPassword('right-pass-1', hash)).toBe(false);
  });

  it('count beyond the 72nd byte', async () => {
    const hash = await hashPassword(`${'a'.repeat(80)}1`);
    expect(await verifyPassword(`${'a'.repeat(80)}2`, hash)).toBe(false);
  });

  it('follow the rule when they are random', () => {
    for (let i = 0; i < 50; i += 1) checkPasswordRule(randomPassword());
    expect(() => checkPasswordRule('short')).toThrow();
    expect(() => checkPasswordRule('Welcome2030!')).toThrow();
  });
});

describe('API keys', () => {
  it('are UUIDs, and digests depend on the secret', () => {
    const key = newApiKey();
    expect(isApiKey(key)).toBe(true);
    const digest = apiKeyDigest(Buffer.alloc(32, 1), key);
    expect(digest).toBe(apiKeyDigest(Buffer.alloc(32, 1), key.toUpperCase()));
    expect(digest).not.toBe(apiKeyDigest(Buffer.alloc(32, 2), key));
  });
});
