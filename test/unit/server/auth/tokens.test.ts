import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createTokens, lifetimes } from '../../../../src/server/auth/tokens.ts';
import { ManualClock } from '../../../fakes/manual-clock.ts';

const key = new TextEncoder().encode('a secret of more than thirty-two bytes');
const clock = new ManualClock();
const tokens = createTokens({ key, accessSeconds: 3600, refreshSeconds: 7200, clock });
const node = { kind: 'node', id: 3, roles: [], generation: 1 } as const;

const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

function mint(claims: object, header: object = { alg: 'HS256', typ: 'JWT' }): string {
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
}

describe('tokens', () => {
  it('have the claims that Python clients read: an integer sub and upstream names', async () => {
    const { access } = await tokens.account({
      kind: 'user',
      id: 7,
      roles: ['Root'],
      generation: 1,
    });
    const now = clock.now().getTime() / 1000;
    expect(claimsOf(access)).toMatchObject({
      sub: 7,
      client_type: 'user',
      type: 'access',
      roles: ['Root'],
      fresh: false,
      iat: now,
      nbf: now,
      exp: now + 3600,
    });
    expect(claimsOf(access)).toHaveProperty('jti');
    expect(claimsOf(access)).toHaveProperty('csrf');
  });

  it('of containers have an object as sub and no end of their own', async () => {
    const subject = {
      client_type: 'container',
      node_id: 3,
      organization_id: 1,
      collaboration_id: 1,
      study_id: null,
      store_id: null,
      task_id: 12,
      image: 'echo:1',
      databases: [{ label: 'default' }],
    } as const;
    const token = await tokens.container(subject);
    expect(claimsOf(token)).toMatchObject({ sub: subject, client_type: 'container', roles: [] });
    expect(claimsOf(token)).not.toHaveProperty('exp');
    expect(await tokens.read(token, 'access')).toStrictEqual({ kind: 'container', subject });
  });

  it('are refused as the other type', async () => {
    const { access, refresh } = await tokens.account(node);
    await expect(tokens.read(refresh, 'access')).rejects.toMatchObject({
      code: 'V6_AUTH_TOKEN_INVALID',
    });
    await expect(tokens.read(access, 'refresh')).rejects.toMatchObject({
      code: 'V6_AUTH_TOKEN_INVALID',
    });
  });

  it('are told apart: expired is not the same as invalid', async () => {
    const { access } = await tokens.account(node);
    const later = createTokens({
      key,
      accessSeconds: 1,
      refreshSeconds: 2,
      clock: { now: () => new Date(clock.now().getTime() + 3_601_000) },
    });
    await expect(later.read(access, 'access')).rejects.toMatchObject({
      code: 'V6_AUTH_TOKEN_EXPIRED',
    });
    await expect(tokens.read(`${access}x`, 'access')).rejects.toMatchObject({
      code: 'V6_AUTH_TOKEN_INVALID',
    });
  });

  it('made with the same secret elsewhere are read, also without our own claim', async () => {
    const now = Math.floor(clock.now().getTime() / 1000);
    const token = mint({ sub: 3, client_type: 'node', type: 'access', iat: now, exp: now + 60 });
    expect(await tokens.read(token, 'access')).toMatchObject({ id: 3, generation: undefined });
  });

  it.each([
    ['no signature', { sub: 3, client_type: 'node', type: 'access' }, { alg: 'none' }],
    ['another algorithm', { sub: 3, client_type: 'node', type: 'access' }, { alg: 'HS512' }],
    ['a text as sub', { sub: '3', client_type: 'node', type: 'access' }, undefined],
    ['an unknown kind', { sub: 3, client_type: 'robot', type: 'access' }, undefined],
    ['an empty container', { sub: {}, client_type: 'container', type: 'access' }, undefined],
  ])('with %s are refused', async (_what, claims, header) => {
    await expect(tokens.read(mint(claims, header), 'access')).rejects.toMatchObject({
      code: 'V6_AUTH_TOKEN_INVALID',
    });
  });
});

describe('lifetimes', () => {
  it('fall back as upstream does', () => {
    expect(lifetimes(6, 48)).toStrictEqual({ accessSeconds: 21_600, refreshSeconds: 172_800 });
    expect(lifetimes(0.1, 48).accessSeconds).toBe(21_600);
    expect(lifetimes(6, 2).refreshSeconds).toBe(172_800);
  });
});
