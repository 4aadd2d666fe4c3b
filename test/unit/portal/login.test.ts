import { describe, expect, it } from 'vitest';
import { WRONG_TRIES_PER_MINUTE } from '../../../src/portal/login-limiter.ts';
import { makePortalWorld, PORTAL_PASSWORD, type PortalWorld } from '../../fakes/portal-world.ts';

const HOME = 'https://vpn.example.test/vpn-user-portal/home';

function post(
  world: PortalWorld,
  password: string,
  options: { from?: string; cookie?: string } = {},
) {
  return world.app.inject({
    method: 'POST',
    url: '/vpn-user-portal/_user_pass_auth/verify',
    remoteAddress: options.from ?? '192.0.2.1',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      referer: 'https://vpn.example.test/',
      ...(options.cookie === undefined ? {} : { cookie: options.cookie }),
    },
    payload: new URLSearchParams({
      userName: 'nodes',
      userPass: password,
      _user_pass_auth_redirect_to: HOME,
    }).toString(),
  });
}

const cookieOf = (answer: Awaited<ReturnType<typeof post>>): string =>
  String(answer.headers['set-cookie']).split(';')[0] ?? '';

describe('the login form', () => {
  it('stops an address that guesses, and nobody else', async () => {
    const world = makePortalWorld();
    for (let i = 0; i < WRONG_TRIES_PER_MINUTE; i += 1) {
      expect((await post(world, 'wrong')).statusCode).toBe(200);
    }
    const stopped = await post(world, PORTAL_PASSWORD);
    expect(stopped.statusCode).toBe(429);
    expect(Number(stopped.headers['retry-after'])).toBeGreaterThan(0);
    expect((await post(world, PORTAL_PASSWORD, { from: '192.0.2.2' })).statusCode).toBe(302);
    await world.clock.turn(60_000);
    expect((await post(world, PORTAL_PASSWORD)).statusCode).toBe(302);
  });

  it('does not count right passwords', async () => {
    const world = makePortalWorld();
    for (let i = 0; i < 2 * WRONG_TRIES_PER_MINUTE; i += 1) {
      expect((await post(world, PORTAL_PASSWORD)).statusCode).toBe(302);
    }
  });

  it('counts tries that come all at once', async () => {
    const world = makePortalWorld();
    const answers = await Promise.all(
      Array.from({ length: 3 * WRONG_TRIES_PER_MINUTE }, () => post(world, 'wrong')),
    );
    expect(answers.filter(({ statusCode }) => statusCode === 200)).toHaveLength(
      WRONG_TRIES_PER_MINUTE,
    );
  });

  it('leaves Secure off over plain http, where no client would send the cookie back', async () => {
    const world = makePortalWorld({ url: 'http://127.0.0.1:8080' });
    const answer = await world.app.inject({ method: 'GET', url: '/vpn-user-portal/home' });
    expect(answer.headers['set-cookie']).toMatch(/SameSite=Strict$/);
  });

  it('changes the session id at the login, so that a planted one is worth nothing', async () => {
    const world = makePortalWorld();
    const planted = cookieOf(await post(world, 'wrong'));
    const answer = await post(world, PORTAL_PASSWORD, { cookie: planted });
    expect(cookieOf(answer)).not.toBe(planted);
    const page = await world.app.inject({
      method: 'GET',
      url: '/vpn-user-portal/home',
      headers: { cookie: planted },
    });
    expect(page.body).toContain('Sign In');
  });

  it('forgets a session after half an hour', async () => {
    const world = makePortalWorld();
    const cookie = cookieOf(await post(world, PORTAL_PASSWORD));
    const home = () =>
      world.app.inject({ method: 'GET', url: '/vpn-user-portal/home', headers: { cookie } });
    expect((await home()).body).toContain('Sign Out');
    await world.clock.turn(30 * 60_000);
    expect((await home()).body).toContain('Sign In');
  });

  it('shows what was typed as text', async () => {
    const world = makePortalWorld();
    const answer = await world.app.inject({
      method: 'GET',
      url: '/vpn-user-portal/home?"><script>alert(1)</script>',
    });
    expect(answer.body).not.toContain('<script>');
  });
});

describe('the API', () => {
  it('takes the node as owner, and refuses a name that cannot be one', async () => {
    const world = makePortalWorld();
    const { accessToken } = await world.logIn();
    const connect = (node: string) =>
      world.app.inject({
        method: 'POST',
        url: '/vpn-user-portal/api/v3/connect',
        headers: {
          authorization: `Bearer ${accessToken}`,
          'content-type': 'application/x-www-form-urlencoded',
        },
        payload: new URLSearchParams({ profile_id: 'default', v6_node: node }).toString(),
      });
    expect((await connect('Hospital A - study Node')).statusCode).toBe(200);
    expect(world.store.list()[0]?.owner).toBe('Hospital A - study Node');
    for (const node of ['', 'a\nb', 'x'.repeat(256), 'authorization/x']) {
      expect((await connect(node)).statusCode, node).toBe(400);
    }
  });

  it('says with a code that the pool is full, and keeps what the node has', async () => {
    const world = makePortalWorld({ subnet: '10.204.0.0/28' });
    const connect = async (node: string) => {
      const { accessToken } = await world.logIn();
      return world.app.inject({
        method: 'POST',
        url: '/vpn-user-portal/api/v3/connect',
        headers: {
          authorization: `Bearer ${accessToken}`,
          'content-type': 'application/x-www-form-urlencoded',
        },
        payload: `profile_id=default&v6_node=${node}`,
      });
    };
    for (const node of ['a', 'b', 'c', 'd', 'e'])
      expect((await connect(node)).statusCode).toBe(200);
    const answer = await connect('f');
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([
      403,
      'V6_PORTAL_QUOTA',
    ]);
    expect(Object.keys(world.entries())).toHaveLength(5);
  });
});
