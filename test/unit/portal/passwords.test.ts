import { describe, expect, it } from 'vitest';
import { hashPassword, verifyPassword } from '../../../src/portal/passwords.ts';

describe('passwords', () => {
  it('are stored as argon2id, with a salt of their own', async () => {
    const [first, second] = await Promise.all([hashPassword('secret'), hashPassword('secret')]);
    expect(first).toMatch(
      /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/,
    );
    expect(first).not.toBe(second);
    expect(await verifyPassword('secret', first)).toBe(true);
    expect(await verifyPassword('Secret', first)).toBe(false);
  });

  it('are never right for an account that does not exist', async () => {
    expect(await verifyPassword('', undefined)).toBe(false);
    expect(await verifyPassword('secret', 'not a hash')).toBe(false);
  });
});
