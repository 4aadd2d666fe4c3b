import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { jwtVerify, SignJWT, UnsecuredJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { readHs256 } from '../../../../src/server/auth/hs256.ts';

const KEY = new Uint8Array(32).fill(7);
const NOW = new Date('2030-01-01T00:00:00.500Z');
const SECONDS = Math.floor(NOW.getTime() / 1000);

const sign = (claims: Record<string, unknown>, header: object = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT', ...header }).sign(KEY);

/** A good signature over parts that a library would not make. */
const forge = (header: string, payload: string) =>
  `${header}.${payload}.${createHmac('sha256', KEY).update(`${header}.${payload}`).digest('base64url')}`;
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const GOOD = part({ alg: 'HS256' });

const read = (token: string) => readHs256(token, KEY, NOW);

describe('a token with HS256', () => {
  it('gives the claims that another library put into it', async () => {
    const claims = { sub: 5, exp: SECONDS + 10, nbf: SECONDS, jti: 'a', ü: ['€'] };
    expect(read(await sign(claims))).toStrictEqual(claims);
  });

  it('is good until the second before it ends, and from its first second on', async () => {
    expect(read(await sign({ exp: SECONDS + 1 }))).toMatchObject({ exp: SECONDS + 1 });
    expect(read(await sign({ exp: SECONDS }))).toBe('expired');
    expect(read(await sign({ nbf: SECONDS }))).toMatchObject({ nbf: SECONDS });
    expect(read(await sign({ nbf: SECONDS + 1 }))).toBe('invalid');
  });

  it.each([
    ['another algorithm in the header', forge(part({ alg: 'HS512' }), part({}))],
    ['no algorithm', forge(part({ alg: 'none' }), part({}))],
    ['no header', forge(part([]), part({}))],
    [
      'an extension that has to be understood',
      forge(part({ alg: 'HS256', crit: ['b64'] }), part({})),
    ],
    ['claims that are no object', forge(GOOD, part(['sub']))],
    ['claims that are no JSON', forge(GOOD, 'e30x')],
    ['an end that is no number', forge(GOOD, part({ exp: 'never' }))],
    ['an end that is nothing', forge(GOOD, part({ exp: null }))],
    ['padding', forge(GOOD, `${part({ a: 1 })}=`)],
    ['an unsecured token', new UnsecuredJWT({ sub: 'a' }).encode()],
    ['four parts', `${forge(GOOD, part({}))}.x`],
    ['nothing', ''],
    ['dots', '..'],
    ['another length', `${GOOD}.${part({})}.${'é'.repeat(43)}`],
  ])('is refused with %s', (_what, token) => {
    expect(read(token)).toBe('invalid');
  });

  it('has one spelling: the last letter of its signature holds two bits that mean nothing', async () => {
    const token = await sign({ sub: 1 });
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.split('');
    const good = letters.filter((letter) => typeof read(token.slice(0, -1) + letter) === 'object');
    expect(good).toStrictEqual([token.at(-1)]);
  });

  it('is refused after any change, and with any other key', async () => {
    const token = await sign({ sub: 1, exp: SECONDS + 10 });
    await fc.assert(
      fc.asyncProperty(fc.nat(token.length - 1), fc.nat(255), async (at, code) => {
        const letter = String.fromCharCode(code);
        const changed = token.slice(0, at) + letter + token.slice(at + 1);
        expect(typeof read(changed)).toBe(changed === token ? 'object' : 'string');
      }),
    );
    expect(readHs256(token, new Uint8Array(32).fill(8), NOW)).toBe('invalid');
  });

  it('is taken and refused as another library does it', async () => {
    const claims = fc.record(
      {
        exp: fc.integer({ min: SECONDS - 2, max: SECONDS + 2 }),
        nbf: fc.integer({ min: SECONDS - 2, max: SECONDS + 2 }),
        sub: fc.string(),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(claims, async (wanted) => {
        const token = await sign(wanted);
        const theirs = await jwtVerify(token, KEY, {
          algorithms: ['HS256'],
          currentDate: NOW,
        }).then(
          () => 'object',
          () => 'string',
        );
        expect(typeof read(token)).toBe(theirs);
      }),
    );
  });
});
