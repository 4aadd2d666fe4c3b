import { afterEach, describe, expect, it } from 'vitest';
import type { TransportSettings } from '../../../../src/core/config/server-transport.ts';
import { createWorld, PASSWORD, type World } from '../../../support/server-app.ts';

let world: World | undefined;
afterEach(() => world?.close());

const start = async (transport: Partial<TransportSettings> = {}): Promise<World> => {
  world = await createWorld({ transport });
  return world;
};

interface From {
  readonly peer: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: 'GET' | 'POST';
}

async function vpn(at: World, { peer, headers = {}, method = 'GET' }: From) {
  const response = await at.app.inject({
    method,
    url: method === 'GET' ? '/api/vpn' : '/api/vpn/update',
    remoteAddress: peer,
    headers: { ...headers, authorization: `Bearer ${at.northNode.token}` },
    ...(method === 'GET' ? {} : { payload: { vpn_config: 'x' } }),
  });
  return response.statusCode;
}

describe('a client config over plain http', () => {
  it.each([
    ['127.0.0.1', 200],
    ['::1', 200],
    ['::ffff:127.0.0.1', 200],
    ['10.1.2.3', 200],
    ['172.31.255.1', 200],
    ['192.168.1.1', 200],
    ['::ffff:192.168.1.1', 200],
    ['fd00::1', 200],
    ['fe80::1', 200],
    ['172.32.0.1', 403],
    ['198.51.100.7', 403],
    ['::ffff:198.51.100.7', 403],
    ['2001:db8::1', 403],
    ['100.64.0.1', 403],
  ])('to %s is %i', async (peer, status) => {
    const at = await start();
    expect(await vpn(at, { peer })).toBe(status);
    expect(await vpn(at, { peer, method: 'POST' })).toBe(status);
  });

  it.each([
    ['a proxy that took it over https', { 'x-forwarded-proto': 'https' }, 200],
    ['the last proxy of two, over https', { 'x-forwarded-proto': 'http, https' }, 200],
    ['a proxy that took it over http', { 'x-forwarded-proto': 'http' }, 403],
    ['the last proxy of two, over http', { 'x-forwarded-proto': 'https, http' }, 403],
    ['a proxy that does not say', {}, 403],
  ])('for a public client behind %s is refused or not', async (_what, headers, status) => {
    const at = await start({ trustedProxies: ['192.0.2.0/24'] });
    const forwarded = { ...headers, 'x-forwarded-for': '198.51.100.7' };
    expect(await vpn(at, { peer: '192.0.2.9', headers: forwarded })).toBe(status);
  });

  it('is decided by the client, not by the proxy in the private network', async () => {
    const at = await start({ trustedProxies: ['10.0.0.0/8'] });
    const headers = (client: string) => ({
      'x-forwarded-for': client,
      'x-forwarded-proto': 'http',
    });
    expect(await vpn(at, { peer: '10.0.0.1', headers: headers('198.51.100.7') })).toBe(403);
    expect(await vpn(at, { peer: '10.0.0.1', headers: headers('192.168.7.7') })).toBe(200);
  });

  it('is not made good by headers of somebody who is no proxy', async () => {
    const at = await start();
    const headers = { 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'https' };
    expect(await vpn(at, { peer: '198.51.100.7', headers })).toBe(403);
    expect(await vpn(at, { peer: '2001:db8::1', headers })).toBe(403);
  });

  it('knows a proxy by an IPv6 network too', async () => {
    const at = await start({ trustedProxies: ['2001:db8:1::/48'] });
    const headers = { 'x-forwarded-for': '2001:db8:2::1', 'x-forwarded-proto': 'https' };
    expect(await vpn(at, { peer: '2001:db8:1::5', headers })).toBe(200);
    expect(await vpn(at, { peer: '2001:db8:3::5', headers })).toBe(403);
  });
});

describe('requests per minute', () => {
  it('are limited per identity: others at the same address go on', async () => {
    const at = await start({ requestsPerMinute: 60 });
    const ask = (token: string) => at.call('GET', '/task', { token, from: '192.0.2.1' });
    for (let i = 0; i < 60; i += 1) expect((await ask(at.nora.token)).status).toBe(200);
    const late = await ask(at.nora.token);
    expect([late.status, late.body]).toMatchObject([
      429,
      { code: 'V6_REQUEST_RATE', msg: expect.any(String) },
    ]);
    expect(Number(late.headers['retry-after'])).toBeGreaterThan(0);
    expect((await ask(at.vera.token)).status).toBe(200);
    expect((await ask(at.northNode.token)).status).toBe(200);
  });

  it('are limited per address where nobody is logged in', async () => {
    const at = await start({ requestsPerMinute: 60 });
    const ask = (from: string) => at.call('GET', '/version', { from });
    for (let i = 0; i < 60; i += 1) await ask('192.0.2.1');
    expect((await ask('192.0.2.1')).status).toBe(429);
    expect((await ask('192.0.2.2')).status).toBe(200);
  });

  it('are limited for tokens that are refused', async () => {
    const at = await start();
    const ask = (from: string) => at.call('GET', '/task', { token: 'x.y.z', from });
    for (let i = 0; i < 600; i += 1) await ask('192.0.2.1');
    expect((await ask('192.0.2.1')).status).toBe(429);
    expect((await ask('192.0.2.2')).status).toBe(422);
    const good = await at.call('GET', '/task', { token: at.nora.token, from: '192.0.2.1' });
    expect(good.status).toBe(200);
  });
});

describe('logins', () => {
  it('of a thousand nodes at once from one address all work, also among wrong keys', async () => {
    const at = await start();
    const login = (api_key: string) =>
      at.call('POST', '/token/node', { body: { api_key }, from: '192.0.2.1' });
    const wrong = '123e4567-e89b-42d3-a456-426614174001';
    const statuses = new Set<number>();
    for (let i = 0; i < 120; i += 1) statuses.add((await login(wrong)).status);
    expect([...statuses]).toStrictEqual([401, 429]);
    const good = await Promise.all(Array.from({ length: 1000 }, () => login(at.northNode.apiKey)));
    expect(good.every(({ status }) => status === 200)).toBe(true);
  });

  it('are held back for a name that is guessed at from many addresses, but not where it was used', async () => {
    const at = await start();
    const login = (password: string, from: string) =>
      at.call('POST', '/token/user', { body: { username: 'nora', password }, from });
    expect((await login(PASSWORD, '192.0.2.1')).status).toBe(200);
    for (let i = 0; i < 50; i += 1) await login('Wrong-pass-1', `198.51.100.${i}`);
    expect((await login(PASSWORD, '203.0.113.1')).status).toBe(429);
    expect((await login(PASSWORD, '192.0.2.1')).status).toBe(200);
    await at.clock.turn(61 * 60_000);
    expect((await login(PASSWORD, '203.0.113.1')).status).toBe(200);
  });

  it('of many users of one address go on while some of them mistype', async () => {
    const at = await start();
    const login = (username: string, password: string) =>
      at.call('POST', '/token/user', { body: { username, password }, from: '192.0.2.1' });
    for (const name of ['nora', 'vera', 'enno'])
      for (let i = 0; i < 4; i += 1) await login(name, 'Wrong-pass-1');
    for (const name of ['nora', 'vera', 'enno'])
      expect((await login(name, PASSWORD)).status).toBe(200);
  });
});

describe('the client address', () => {
  it('is that of the header only behind a trusted proxy', async () => {
    const at = await start({ trustedProxies: ['192.0.2.9'] });
    const via = async (peer: string, forwarded: string, password: string) => {
      const response = await at.app.inject({
        method: 'POST',
        url: '/api/token/user',
        remoteAddress: peer,
        headers: { 'x-forwarded-for': forwarded },
        payload: { username: 'nora', password },
      });
      return response.statusCode;
    };
    for (let i = 0; i < 5; i += 1) await via('192.0.2.9', '198.51.100.7', 'Wrong-pass-1');
    expect(await via('192.0.2.9', '198.51.100.7', PASSWORD)).toBe(429);
    expect(await via('192.0.2.9', '198.51.100.8', PASSWORD)).toBe(200);
    // Loopback is no proxy any more when others are named.
    for (let i = 0; i < 5; i += 1) await via('127.0.0.1', `198.51.100.1${i}`, 'Wrong-pass-1');
    expect(await via('127.0.0.1', '198.51.100.77', PASSWORD)).toBe(429);
  });
});
