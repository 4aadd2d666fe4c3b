import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeSession } from '../../src/adapters/http/node-session.ts';
import { logIn, UserSession } from '../../src/adapters/http/user-session.ts';
import { systemClock } from '../../src/core/clock.ts';
import { ScriptedServer } from '../support/scripted-server.ts';
import { until } from '../support/wait.ts';

/** Requests that meet an old token together share one renewal: what ends one of them must not end the others. */
describe('a renewal of tokens that several requests wait for', () => {
  let server: ScriptedServer;
  beforeEach(async () => {
    server = await ScriptedServer.start();
    server.answer = ({ path }) => {
      if (path.startsWith('/api/token/')) return undefined;
      return [200, { data: [], id: 1 }];
    };
  });
  afterEach(() => server[Symbol.asyncDispose]());

  const killed = new Error('this run was killed');

  it('of a node goes on when the run that began it is killed', async () => {
    const session = new NodeSession({
      serverUrl: 'http://127.0.0.1',
      port: server.port,
      apiPath: '/api',
      apiKey: 'key',
      clock: systemClock,
    });
    server.delayOf = ({ path }) => (path.startsWith('/api/token/') ? 300 : 0);
    const stop = new AbortController();
    const first = session.send({ method: 'GET', path: '/run', signal: stop.signal });
    const second = session.send({ method: 'PATCH', path: '/run/2', body: {} });
    await until('the login', 5000, () => server.requests.length === 1);
    stop.abort(killed);
    await expect(first).rejects.toBe(killed);
    expect(await second).toMatchObject({ id: 1 });
    expect(server.asked('POST', '/api/token/')).toHaveLength(1);
  });

  it('of a user goes on when the request that began it is given up', async () => {
    server.lifeSeconds = 1;
    const login = { serverUrl: server.url, username: 'nora', password: 'secret' };
    const session = new UserSession(await logIn(login));
    server.lifeSeconds = 3600;
    server.delayOf = ({ path }) => (path.startsWith('/api/token/') ? 300 : 0);
    const stop = new AbortController();
    const first = session.request('GET', '/run', { signal: stop.signal });
    const second = session.request('POST', '/task', { body: {} });
    await until('the renewal', 5000, () => server.requests.length === 2);
    stop.abort(killed);
    await expect(first).rejects.toBe(killed);
    expect(await second).toMatchObject({ id: 1 });
    expect(server.asked('POST', '/api/token/refresh')).toHaveLength(1);
  });
});
