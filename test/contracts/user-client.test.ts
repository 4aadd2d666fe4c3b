import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createUserClient } from '../../src/adapters/http/user-client.ts';
import { logIn, normalizeServerUrl, UserSession } from '../../src/adapters/http/user-session.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { UserClient } from '../../src/diagnose/interfaces/user-client.ts';
import { testVpn } from '../../src/diagnose/vpn-test.ts';
import { FakeCoordinationServer } from '../fakes/coordination-server.ts';
import { joinAsNode, type RealServer, startRealServer } from '../support/real-network.ts';
import { until } from '../support/wait.ts';

interface World {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly client: UserClient;
  readonly organizations: readonly number[];
  readonly collaboration: number;
  stop(): Promise<void>;
}

async function fakeWorld(): Promise<World> {
  const server = new FakeCoordinationServer();
  server.perPage = 50;
  for (const organization of [1, 2]) server.addNode({ organization, status: 'offline', ip: null });
  await server.start();
  const user = { username: 'researcher', password: 'right password' };
  const session = new UserSession(await logIn({ serverUrl: server.url, ...user }));
  return {
    url: server.url,
    ...user,
    client: createUserClient(session),
    organizations: [1, 2],
    collaboration: 1,
    stop: () => server.stop(),
  };
}

async function realWorld(): Promise<World> {
  const server = await startRealServer();
  const organizations: number[] = [];
  for (const name of ['north', 'south'])
    organizations.push((await server.admin.createOrganization(name)).id);
  const { id: collaboration } = await server.admin.createCollaboration({
    name: 'trial',
    organizations,
  });
  for (const organization of organizations)
    await server.admin.createNode({ name: `node-${organization}`, organization, collaboration });
  const [first = 0] = organizations;
  return {
    url: server.url,
    password: server.password,
    ...(await server.researcherOf(first)),
    organizations,
    collaboration,
    stop: async () => server[Symbol.asyncDispose](),
  };
}

describe.each([
  ['the fake server', fakeWorld],
  ['our server', realWorld],
])('a user at %s', (_name, open) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(() => world.stop());

  const createTask = () =>
    world.client.createTask({
      collaboration: world.collaboration,
      image: 'v6-echo:test',
      name: 'contract',
      organizations: world.organizations,
      input: { method: 'whoami' },
    });

  it('is refused with a wrong password', async () => {
    const wrong = { serverUrl: world.url, username: world.username, password: 'canary-4711' };
    await expect(logIn(wrong)).rejects.toMatchObject({
      code: 'V6_AUTH_FAILED',
      message: expect.not.stringContaining('canary-4711') as string,
    });
  });

  it('sees the collaboration, unencrypted, and its nodes', async () => {
    expect(await world.client.listCollaborations()).toMatchObject([
      { id: world.collaboration, name: 'trial', encrypted: false },
    ]);
    const nodes = await world.client.listNodes(world.collaboration);
    expect(nodes.map((node) => [node.organization.id, node.status, node.ip])).toEqual(
      world.organizations.map((id) => [id, 'offline', null]),
    );
    expect(await world.client.listNodes(999)).toEqual([]);
  });

  it('creates a task with one run per organization, and no result yet', async () => {
    const task = await createTask();
    const runs = await world.client.listRuns(task);
    expect(runs.map((run) => run.organization.id).toSorted((a, b) => a - b)).toEqual(
      world.organizations,
    );
    expect(runs.every((run) => run.status === 'pending' && run.finished_at === null)).toBe(true);
    expect(JSON.parse(Buffer.from(runs[0]?.input ?? '', 'base64').toString())).toEqual({
      method: 'whoami',
      args: [],
      kwargs: {},
    });
    const results = await world.client.listResults(task);
    expect(results.map(({ result }) => result)).toEqual([null, null]);
  });

  it('ends a task; ending it again is fine', async () => {
    const task = await createTask();
    await world.client.killTask(task);
    const runs = await world.client.listRuns(task);
    expect(runs.map(({ status }) => status)).toEqual(['killed by user', 'killed by user']);
    expect(runs.every((run) => run.finished_at !== null)).toBe(true);
    await world.client.killTask(task);
  });

  it('stops waiting when it is told to', async () => {
    const reason = new Error('enough');
    const waiting = world.client.listCollaborations(AbortSignal.abort(reason));
    await expect(waiting).rejects.toBe(reason);
  });
});

describe('a session of a user', () => {
  let server: FakeCoordinationServer;
  beforeEach(async () => {
    server = new FakeCoordinationServer();
    await server.start();
  });
  afterEach(() => server.stop());

  const open = async (file?: ConstructorParameters<typeof UserSession>[1]) =>
    new UserSession(
      await logIn({ serverUrl: server.url, username: 'researcher', password: 'right password' }),
      file,
    );

  it('follows all pages', async () => {
    server.perPage = 2;
    for (let organization = 1; organization <= 5; organization += 1)
      server.addNode({ organization });
    const nodes = await createUserClient(await open()).listNodes(1);
    expect(nodes).toHaveLength(5);
  });

  it('renews an old token once for requests that meet it together', async () => {
    server.accessLifeSeconds = 1;
    let stored = 0;
    const session = await open({
      save: () => {
        stored += 1;
        return Promise.resolve();
      },
    });
    server.accessLifeSeconds = 3600;
    const client = createUserClient(session);
    await Promise.all([1, 2, 3].map(() => client.listCollaborations()));
    expect([server.refreshes, stored]).toEqual([1, 1]);
  });

  it('takes tokens that another process has renewed meanwhile, and uses no refresh token twice', async () => {
    const read = { count: 0 };
    server.accessLifeSeconds = 1;
    const credentials = { username: 'researcher', password: 'right password' };
    const mine = await logIn({ serverUrl: server.url, ...credentials });
    server.accessLifeSeconds = 3600;
    const others = await logIn({ serverUrl: server.url, ...credentials });
    const session = new UserSession(mine, {
      read: () => {
        read.count += 1;
        return Promise.resolve({ ...others, refreshToken: 'newer' });
      },
    });
    await createUserClient(session).listCollaborations();
    expect([server.refreshes, read.count]).toEqual([0, 1]);
  });

  it('renews and repeats once after a 401, then says that the right is missing', async () => {
    const client = createUserClient(await open());
    server.intercept = (_method, path) =>
      path === '/collaboration' ? [401, { msg: 'no permission' }] : undefined;
    await expect(client.listCollaborations()).rejects.toMatchObject({
      code: 'V6_AUTH_FORBIDDEN',
      message: 'GET /collaboration was answered 401: no permission',
    });
    expect(server.requests.filter((line) => line.includes('/collaboration'))).toHaveLength(2);
  });

  it.each([
    [400, 'V6_REQUEST_INVALID'],
    [403, 'V6_AUTH_FORBIDDEN'],
    [404, 'V6_REQUEST_NOT_FOUND'],
    [422, 'V6_AUTH_TOKEN_INVALID'],
    [429, 'V6_REQUEST_RATE'],
    [500, 'V6_SERVER_REFUSED'],
  ])('sends a refused request once and turns %i into %s', async (status, code) => {
    const client = createUserClient(await open());
    server.intercept = (method, path) =>
      method === 'POST' && path === '/task' ? [status, { msg: 'why' }] : undefined;
    const request = {
      collaboration: 1,
      image: 'x',
      name: 'x',
      organizations: [1],
      input: { method: 'x' },
    };
    await expect(client.createTask(request)).rejects.toMatchObject({ code });
    expect(server.requests.filter((line) => line === 'POST /task')).toHaveLength(1);
  });

  it.each<[unknown, string]>([
    [{ data: 'x' }, 'a list that is none'],
    [{ data: [{ name: 'no id' }], links: {} }, 'an item without id'],
    [[], 'an array'],
  ])('says that an answer is not one of vantage6: %j', async (body) => {
    const client = createUserClient(await open());
    server.intercept = (_method, path) => (path === '/collaboration' ? [200, body] : undefined);
    await expect(client.listCollaborations()).rejects.toMatchObject({ code: 'V6_SERVER_ANSWER' });
  });

  it.each([
    ['http://localhost:7601', 'http://localhost:7601/api'],
    ['http://localhost:7601/', 'http://localhost:7601/api'],
    ['https://host/v6/api/', 'https://host/v6/api'],
  ])('takes %s as %s', (typed, url) => {
    expect(normalizeServerUrl(typed)).toBe(url);
  });

  it.each(['localhost:7601', 'ftp://host', 'http://user:secret@host', ''])(
    'refuses %j',
    (typed) => {
      expect(() => normalizeServerUrl(typed)).toThrow('is not the URL of a server');
    },
  );
});

describe('a VPN test at our server, with nodes that run echo in this process', () => {
  let server: RealServer;
  let client: UserClient;
  const life = new AbortController();
  const organizations: number[] = [];
  const apiKeys: string[] = [];
  let collaboration: number;

  beforeAll(async () => {
    server = await startRealServer();
    for (const name of ['alpha', 'beta', 'gamma', 'delta'])
      organizations.push((await server.admin.createOrganization(name)).id);
    collaboration = (await server.admin.createCollaboration({ name: 'vpn', organizations })).id;
    for (const organization of organizations) {
      const name = `node-${organization}`;
      apiKeys.push((await server.admin.createNode({ name, organization, collaboration })).apiKey);
    }
    ({ client } = await server.researcherOf(organizations[0] ?? 0));
  });
  afterAll(async () => {
    life.abort(new Error('the test has ended'));
    await server[Symbol.asyncDispose]();
  });

  const join = (index: number, address: string | null, vpn: 'on' | 'off' = 'on') =>
    joinAsNode(server, { apiKey: apiKeys[index] ?? '', address, vpn, signal: life.signal });
  const states = async () =>
    (await client.listNodes(collaboration)).map(
      ({ status, config }) => `${status} ${config.find(({ key }) => key === 'vpn')?.value}`,
    );
  const test = (nodes: readonly string[] = []) =>
    testVpn(
      {
        client,
        clock: systemClock,
        onProgress: () => undefined,
        openKeys: () => Promise.reject(new Error('not encrypted')),
      },
      { organizations: [], nodes, probes: 3, limitMs: 30_000 },
      new AbortController().signal,
    );

  it('passes all pairs, skips a node without VPN, and names the tunnel of one that lost its own', async () => {
    await Promise.all([join(0, '10.99.0.1'), join(1, '10.99.0.2'), join(2, null, 'off')]);
    await until('the nodes are online', 5000, states, (now) =>
      ['online on', 'online on', 'online off'].every((state, index) => now[index] === state),
    );
    const passed = await test();
    expect(passed.pairs.filter(({ ok }) => !ok)).toEqual([]);
    expect(passed).toMatchObject({ ok: true, summary: { pairs: 8, passed: 8 } });
    expect(passed.nodes.map(({ state }) => state)).toEqual([
      'connected',
      'connected',
      'skipped',
      'offline',
    ]);
    expect(passed.summary.durationMs).toBeLessThan(5000);

    await join(3, null);
    await until('the fourth node is online', 5000, states, (now) => now[3] === 'online on');
    const failed = await test();
    expect(failed.ok).toBe(false);
    expect(failed.nodes.map(({ state }) => state)).toEqual([
      'connected',
      'connected',
      'skipped',
      'tunnel-down',
    ]);
    const lost = organizations[3];
    for (const pair of failed.pairs.filter(({ ok }) => !ok))
      expect(pair.error?.hop).toBe(pair.from === lost ? 'tunnel' : 'peer-client');
    expect(failed.pairs.filter(({ ok, to }) => !ok && to === lost)).toHaveLength(6);
  });
});
