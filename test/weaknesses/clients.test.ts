import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHttpCoordinator } from '../../src/adapters/http/node-coordinator.ts';
import { NodeSession } from '../../src/adapters/http/node-session.ts';
import { createProxyUpstream } from '../../src/adapters/http/proxy-upstream.ts';
import { requestJson } from '../../src/adapters/http/request.ts';
import { createUserClient } from '../../src/adapters/http/user-client.ts';
import { logIn, UserSession } from '../../src/adapters/http/user-session.ts';
import { systemClock } from '../../src/core/clock.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { logIn as logInNode } from '../../src/node/login.ts';
import { recoverRuns } from '../../src/node/runs/recovery.ts';
import { RunManager } from '../../src/node/runs/run-manager.ts';
import { NodeWorld, RANGE } from '../fakes/node-world.ts';
import { TestCoordination } from '../support/coordination.ts';
import { ScriptedServer } from '../support/scripted-server.ts';
import { until } from '../support/wait.ts';

/** Upstream's weaknesses in its clients and its node, against ours. Those of encryption are in encryption.test.ts. */

let server: ScriptedServer;
beforeEach(async () => {
  server = await ScriptedServer.start();
});
afterEach(() => server[Symbol.asyncDispose]());

const nodeSession = (port = server.port, apiKey = 'key') =>
  new NodeSession({
    serverUrl: 'http://127.0.0.1',
    port,
    apiPath: '/api',
    apiKey,
    clock: systemClock,
  });

const userSession = async () =>
  new UserSession(await logIn({ serverUrl: server.url, username: 'nora', password: 'secret' }));

const TASK = {
  collaboration: 1,
  image: 'echo:1',
  name: 'once',
  organizations: [2],
  input: { method: 'echo' },
};

/** One write by the user and one by the node; each fails. */
async function writeOnce(): Promise<void> {
  const user = createUserClient(await userSession());
  await expect(user.createTask(TASK)).rejects.toMatchObject({
    code: expect.stringMatching(/^V6_/),
  });
  const node = nodeSession();
  await expect(
    node.send({ method: 'POST', path: '/port', body: { port: 50_000, run_id: 1 } }),
  ).rejects.toMatchObject({ code: expect.stringMatching(/^V6_/) });
}

describe('upstream weakness: any status above 210 renews the token and repeats the request blindly', () => {
  it.each([400, 403, 404, 409, 413, 429, 500, 502, 503])(
    'ours sends a POST that is answered %i once, and keeps its token',
    async (status) => {
      server.answer = ({ path: asked }) =>
        asked.startsWith('/api/token/') ? undefined : [status, { msg: 'no' }];
      await writeOnce();
      expect(server.asked('POST', '/api/task')).toHaveLength(1);
      expect(server.asked('POST', '/api/port')).toHaveLength(1);
      expect(server.asked('POST', '/api/token/refresh')).toHaveLength(0);
    },
  );

  it('a task may be created twice when the answer to the first request is lost: ours is created once, and the loss is told', async () => {
    server.answer = ({ path: asked }) => (asked === '/api/task' ? 'cut' : undefined);
    const user = createUserClient(await userSession());
    await expect(user.createTask(TASK)).rejects.toMatchObject({ code: 'V6_SERVER_UNREACHABLE' });
    expect(server.asked('POST', '/api/task')).toHaveLength(1);
  });

  it('a token that is refused is no blind repeat: nothing was done, so ours renews it and asks once more', async () => {
    const refused = new Set<string | undefined>();
    server.answer = ({ path: asked, token }) => {
      if (asked.startsWith('/api/token/')) return undefined;
      if (refused.size === 0) refused.add(token);
      return refused.has(token)
        ? [401, { msg: 'Token has expired', code: 'V6_AUTH_TOKEN_EXPIRED' }]
        : [201, { id: 12 }];
    };
    expect(await createUserClient(await userSession()).createTask(TASK)).toBe(12);
    expect(server.asked('POST', '/api/task')).toHaveLength(2);
    refused.clear();
    const node = nodeSession();
    expect(await node.send({ method: 'POST', path: '/port', body: {} })).toStrictEqual({ id: 12 });
    expect(server.asked('POST', '/api/port')).toHaveLength(2);
    // Two logins; the user's session renews with its refresh token, the node's with its key.
    const logins = server.asked('POST', '/api/token/').map((asked) => asked.path.split('/').at(-1));
    expect(logins).toStrictEqual(['user', 'refresh', 'node', 'node']);
  });

  it('a Python server says 401 also for a missing right: a write of our node does not go out again for it', async () => {
    server.answer = ({ path: asked }) =>
      asked.startsWith('/api/token/') ? undefined : [401, { msg: 'You lack the permission' }];
    const node = nodeSession();
    await expect(node.send({ method: 'POST', path: '/port', body: {} })).rejects.toMatchObject({
      code: 'V6_SERVER_REFUSED',
      details: { status: 401 },
    });
    expect(server.asked('POST', '/api/port')).toHaveLength(1);
    expect(server.asked('POST', '/api/token/')).toHaveLength(1);
  });
});

describe('upstream weakness: only the first page of the results of a task is read', () => {
  const COUNT = 23;
  const PER_PAGE = 10;

  /** Pages of ten whatever is asked for, linked as upstream links them. */
  function pagesOf(item: (id: number) => unknown): void {
    server.answer = ({ path: asked }) => {
      if (asked.startsWith('/api/token/')) return undefined;
      const url = new URL(asked, server.url);
      const page = Number(url.searchParams.get('page') ?? 1);
      const all = Array.from({ length: COUNT }, (_, index) => item(index + 1));
      const isLast = page * PER_PAGE >= COUNT;
      url.searchParams.set('page', String(page + 1));
      return [
        200,
        {
          data: all.slice((page - 1) * PER_PAGE, page * PER_PAGE),
          links: isLast ? {} : { next: `${url.pathname}${url.search}` },
        },
      ];
    };
  }

  it('our user client reads all of them', async () => {
    pagesOf((id) => ({ id, result: 'YQ==', run: { id }, task: { id: 4 } }));
    const results = await createUserClient(await userSession()).listResults(4);
    expect(results.map(({ id }) => id)).toStrictEqual(
      Array.from({ length: COUNT }, (_, i) => i + 1),
    );
  });

  it('our node reads all of its open runs', async () => {
    pagesOf((id) => ({ id, status: 'pending', input: '', task: { id, image: 'echo:1' } }));
    const { runs, session } = createHttpCoordinator(nodeSession());
    const { answer } = server;
    server.answer = (request) =>
      request.path.startsWith('/api/run')
        ? answer(request)
        : request.path.startsWith('/api/token/')
          ? undefined
          : [200, { id: 7, organization: { id: 2 }, collaboration: { id: 1 } }];
    await session.login();
    expect(await runs.listOpen()).toHaveLength(COUNT);
  });
});

describe('upstream weakness: no time-outs, and an endless retry on connection errors', () => {
  it.each(['silence', 'trickle'] as const)(
    'ours gives up on a server that answers with %s, after one request',
    async (answer) => {
      server.answer = ({ path: asked }) => (asked.startsWith('/api/token/') ? undefined : answer);
      const node = nodeSession();
      const began = performance.now();
      await expect(
        node.send({ method: 'GET', path: '/run', timeoutMs: 300 }),
      ).rejects.toMatchObject({ code: 'V6_SERVER_UNREACHABLE' });
      expect(performance.now() - began).toBeLessThan(5000);
      expect(server.asked('GET', '/api/run')).toHaveLength(1);
    },
  );

  it('a caller of ours may stop waiting before that, and gets its own reason', async () => {
    server.answer = () => 'silence';
    const reason = new Error('enough');
    const stop = new AbortController();
    const waiting = requestJson({
      method: 'GET',
      url: `${server.url}/run`,
      timeoutMs: 20_000,
      signal: stop.signal,
    });
    await until('the request', 5000, () => server.requests.length === 1);
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  it('an algorithm that hangs up frees its request at our proxy too', async () => {
    server.answer = () => 'silence';
    const stop = new AbortController();
    const waiting = createProxyUpstream(server.url).forward({
      method: 'GET',
      path: '/task/1',
      authorization: undefined,
      contentType: undefined,
      contentLength: undefined,
      body: undefined,
      signal: stop.signal,
    });
    await until('the request', 5000, () => server.requests.length === 1);
    stop.abort(new Error('the algorithm is gone'));
    await expect(waiting).rejects.toMatchObject({ code: 'V6_SERVER_UNREACHABLE' });
  });

  it('a server that is not there is told to the user at once, and to who starts a node after its limit', async () => {
    const session = await userSession();
    const { port } = server;
    await server[Symbol.asyncDispose]();
    const began = performance.now();
    await expect(session.request('GET', '/task')).rejects.toMatchObject({
      code: 'V6_SERVER_UNREACHABLE',
    });
    expect(performance.now() - began).toBeLessThan(2000);
    const { session: node } = createHttpCoordinator(nodeSession(port));
    const deps = { session: node, clock: systemClock, logger: silentLogger };
    const options = { encrypted: false, limitMs: 1200, signal: new AbortController().signal };
    await expect(logInNode(deps, options)).rejects.toMatchObject({ code: 'V6_SERVER_UNREACHABLE' });
    expect(performance.now() - began).toBeLessThan(10_000);
    server = await ScriptedServer.start();
  });
});

describe('upstream weakness: a node that dies after it said that a run started leaves it open, and starts it again', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'v6-weak-clients-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('our next daemon ends the run as failed with the reason, once, and starts nothing', async () => {
    const world = await TestCoordination.start(path.join(folder, 'server'));
    const lives: NodeWorld[] = [];
    try {
      const [node] = await world.createNodes(['north']);
      const {
        runs: [run = 0],
      } = await world.createTask('echo:1', [node?.organization ?? 0]);
      const coordinator = createHttpCoordinator(nodeSession(world.port, node?.apiKey ?? ''));
      const identity = await coordinator.session.login();
      const dying = await new NodeWorld({ vpn: false }).ready(null);
      lives.push(dying);
      const base = { ...dying.deps, clock: systemClock, identity, runs: coordinator.runs };
      const asked = { creates: 0 };
      dying.engine.containers.create = () => {
        asked.creates += 1;
        return new Promise(() => undefined);
      };
      new RunManager(base, dying.life.signal).requestSync();
      await until('the container', 10_000, () => asked.creates === 1);
      expect(await world.run(run)).toMatchObject({ status: 'initializing', finished_at: null });

      const next = await new NodeWorld({ vpn: false }).ready(null);
      lives.push(next);
      const deps = { ...base, engine: next.engine, slots: next.slots, proxy: next.proxy };
      const manager = new RunManager(deps, next.life.signal);
      manager.adopt(await recoverRuns(deps, await coordinator.runs.listOpen(), RANGE));
      manager.requestSync();
      await until('the end', 10_000, async () => (await world.run(run)).finished_at !== null);
      expect(await world.run(run)).toMatchObject({
        status: 'failed',
        log: expect.stringContaining('V6_RUN_FAILED'),
      });
      await until('no run', 5000, () => manager.list().length === 0);
      manager.requestSync();
      await until(
        'no open run',
        5000,
        async () => (await coordinator.runs.listOpen()).length === 0,
      );
      expect(next.engine.held().containers).toStrictEqual([]);
    } finally {
      for (const { life } of lives) life.abort(new Error('the test is over'));
      await world.server.stop();
    }
  });
});
