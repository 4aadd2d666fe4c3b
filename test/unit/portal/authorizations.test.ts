import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { CLIENT_SECRET, makePortalWorld, type PortalWorld } from '../../fakes/portal-world.ts';

const VERIFIER = 'v'.repeat(43);

function grant(world: PortalWorld): string {
  return world.authorizations.grantCode({
    user: 'nodes',
    redirectUri: 'http://localhost',
    challenge: createHash('sha256').update(VERIFIER).digest('base64url'),
  });
}

function redeem(
  world: PortalWorld,
  code: string,
  fields: Readonly<Record<string, string | undefined>> = {},
  basic?: { user: string; password: string },
) {
  const form = {
    grant_type: 'authorization_code',
    client_id: world.settings.client.id,
    redirect_uri: 'http://localhost',
    code_verifier: VERIFIER,
    code,
    ...fields,
  };
  const given = Object.entries(form).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return world.authorizations.issue({ form: new Map(given), basic });
}

function refresh(world: PortalWorld, token: string) {
  return world.authorizations.issue({
    form: new Map([
      ['grant_type', 'refresh_token'],
      ['refresh_token', token],
    ]),
    basic: { user: world.settings.client.id, password: CLIENT_SECRET },
  });
}

const basicOf = (world: PortalWorld, password = CLIENT_SECRET) => ({
  user: world.settings.client.id,
  password,
});

describe('the token endpoint', () => {
  const rows = [
    { name: 'Basic and client_id', form: {}, basic: CLIENT_SECRET, ok: true },
    {
      name: 'Basic, client_id and another secret in the form',
      form: { client_secret: 'other' },
      basic: CLIENT_SECRET,
      ok: true,
    },
    { name: 'the secret in the form', form: { client_secret: CLIENT_SECRET }, ok: true },
    { name: 'Basic alone', form: { client_id: undefined }, basic: CLIENT_SECRET, ok: true },
    { name: 'no secret at all', form: {}, ok: false },
    { name: 'a wrong secret by Basic', form: {}, basic: 'wrong', ok: false },
    { name: 'a wrong secret in the form', form: { client_secret: 'wrong' }, ok: false },
    { name: 'another client', form: { client_id: 'other' }, ok: false },
  ];

  it.each(rows)('$name: accepted is $ok', async ({ form, basic, ok }) => {
    const world = makePortalWorld();
    const shown = basic === undefined ? undefined : basicOf(world, basic);
    expect((await redeem(world, grant(world), form, shown)).ok).toBe(ok);
  });

  it('asks a public client for no secret and ignores the one it sends', async () => {
    const world = makePortalWorld({ isPublic: true, clientId: 'public-client' });
    expect((await redeem(world, grant(world))).ok).toBe(true);
    expect((await redeem(world, grant(world), { client_secret: 'any' })).ok).toBe(true);
  });

  it('refuses a code that is too old', async () => {
    const world = makePortalWorld();
    const code = grant(world);
    await world.clock.turn(5 * 60_000);
    expect(await redeem(world, code, {}, basicOf(world))).toMatchObject({
      ok: false,
      refusal: { error: 'invalid_grant' },
    });
  });

  it('ends the authorization of a code that is used twice', async () => {
    const world = makePortalWorld();
    const code = grant(world);
    const first = await redeem(world, code, {}, basicOf(world));
    expect((await redeem(world, code, {}, basicOf(world))).ok).toBe(false);
    const token = first.ok ? first.tokens.accessToken : '';
    expect(world.authorizations.checkBearer(`Bearer ${token}`).ok).toBe(false);
  });

  it('lets an access token live an hour, and never longer than its authorization', async () => {
    const long = makePortalWorld();
    expect((await long.logIn()).expiresInSeconds).toBe(3600);
    const short = makePortalWorld({ sessionExpirySeconds: 60 });
    const { accessToken, expiresInSeconds } = await short.logIn();
    expect(expiresInSeconds).toBe(60);
    await short.clock.turn(60_000);
    expect(short.authorizations.checkBearer(`Bearer ${accessToken}`)).toMatchObject({ ok: false });
  });

  it('does not let a refresh token extend the authorization', async () => {
    const world = makePortalWorld({ sessionExpirySeconds: 120 });
    const { refreshToken } = await world.logIn();
    await world.clock.turn(60_000);
    const renewed = await refresh(world, refreshToken);
    expect(renewed.ok && renewed.tokens.expiresInSeconds).toBe(60);
    await world.clock.turn(60_000);
    expect((await refresh(world, renewed.ok ? renewed.tokens.refreshToken : '')).ok).toBe(false);
  });

  it('ends everything of an authorization whose refresh token comes twice, certificate included', async () => {
    const world = makePortalWorld();
    const { accessToken, refreshToken } = await world.logIn();
    const outcome = world.authorizations.checkBearer(`Bearer ${accessToken}`);
    if (!outcome.ok) throw new Error('no authorization');
    await world.configurations.connect({
      authorization: outcome.authorization,
      node: 'alpha',
      prefersTcp: false,
    });
    const renewed = await refresh(world, refreshToken);
    expect(renewed.ok).toBe(true);
    expect((await refresh(world, refreshToken)).ok).toBe(false);
    const newest = renewed.ok ? renewed.tokens.accessToken : '';
    expect(world.authorizations.checkBearer(`Bearer ${newest}`).ok).toBe(false);
    expect(world.entries()).toEqual({});
  });

  it('stores no token in clear', async () => {
    const world = makePortalWorld();
    const { accessToken } = await world.logIn();
    expect(world.store.findToken(accessToken)).toBeUndefined();
  });
});
