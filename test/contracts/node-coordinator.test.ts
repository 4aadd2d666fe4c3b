import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createHttpCoordinator } from '../../src/adapters/http/node-coordinator.ts';
import { NodeSession } from '../../src/adapters/http/node-session.ts';
import { NodeEvents } from '../../src/adapters/socket/node-events.ts';
import { systemClock } from '../../src/core/clock.ts';
import { isV6Error } from '../../src/core/errors.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { TestCoordination, type TestNode } from '../support/coordination.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { until } from '../support/wait.ts';

const sessionFor = (port: number, apiKey: string) =>
  new NodeSession({
    serverUrl: 'http://127.0.0.1',
    port,
    apiPath: '/api',
    apiKey,
    clock: systemClock,
  });

describe('the node against our server', () => {
  let folder: TempFolder;
  let world: TestCoordination;
  let node: TestNode;
  let other: TestNode;

  beforeAll(async () => {
    folder = await tempFolder();
    world = await TestCoordination.start(folder.path);
    const [first, second] = await world.createNodes(['north', 'south']);
    if (first === undefined || second === undefined) throw new Error('no node');
    node = first;
    other = second;
  });
  afterAll(async () => {
    await world.server.stop();
    await folder.remove();
  });

  it('logs in and reads who it is', async () => {
    const { session } = createHttpCoordinator(sessionFor(world.port, node.apiKey));
    expect(await session.login()).toEqual({
      id: node.id,
      name: 'north',
      organization: node.organization,
      organizationName: 'north',
      collaboration: world.collaboration,
      encrypted: false,
    });
  });

  it.each(['not a key', '3f2c2d9a-7b1e-4c89-9a55-0d6f1b2a3c4d'])(
    'names a refused key: %s',
    async (apiKey) => {
      const { session } = createHttpCoordinator(sessionFor(world.port, apiKey));
      await expect(session.login()).rejects.toMatchObject({ code: 'V6_AUTH_API_KEY' });
    },
  );

  it('lists open runs, patches one to its end, and is refused afterwards', async () => {
    const { session, runs } = createHttpCoordinator(sessionFor(world.port, node.apiKey));
    await session.login();
    const first = await world.createTask('echo:1', [node.organization], { method: 'x' });
    const second = await world.createTask('echo:2', [node.organization]);
    const [run = 0] = first.runs;
    const open = await runs.listOpen();
    expect(open.map(({ id }) => id)).toEqual([run, ...second.runs]);
    expect(open[0]).toMatchObject({
      status: 'pending',
      startedAt: null,
      task: { image: 'echo:1' },
    });
    expect((await runs.listOpen(second.task)).map(({ id }) => id)).toEqual(second.runs);
    await runs.patch(run, { status: 'initializing', startedAt: new Date() });
    expect(await runs.hasOpenRuns(first.task)).toBe(true);
    expect((await runs.containerToken(first.task, 'echo:1')).split('.')).toHaveLength(3);
    await runs.registerPort({ run, port: 49152, protocol: 'udp', label: 'echo' });
    expect((await world.run(run)).ports).toMatchObject([{ port: 49152, label: 'echo' }]);
    await runs.clearPorts(run);
    const end = { status: 'completed', finishedAt: new Date(), log: 'fine' } as const;
    await runs.patch(run, { ...end, result: Buffer.from('"done"').toString('base64') });
    expect(await world.run(run)).toMatchObject({ status: 'completed', log: 'fine' });
    expect(await world.result(run)).toBe('"done"');
    expect(await runs.hasOpenRuns(first.task)).toBe(false);
    const other = { status: 'failed', finishedAt: new Date(0), log: 'no' } as const;
    const again = runs.patch(run, other);
    await expect(again).rejects.toMatchObject({
      code: 'V6_SERVER_REFUSED',
      details: { status: 400 },
    });
  });

  it('sees that a task is alive on another node', async () => {
    const { session, runs } = createHttpCoordinator(sessionFor(world.port, node.apiKey));
    await session.login();
    const { task } = await world.createTask('echo:1', [other.organization]);
    expect(await runs.hasOpenRuns(task)).toBe(true);
    await world.ask('POST', '/kill/task', { id: task });
    expect(await runs.hasOpenRuns(task)).toBe(false);
  });

  it('reads the family of a task: runs with addresses and ports of all nodes, and open children', async () => {
    const north = createHttpCoordinator(sessionFor(world.port, node.apiKey));
    const south = createHttpCoordinator(sessionFor(world.port, other.apiKey));
    await Promise.all([north.session.login(), south.session.login()]);
    const made = await world.createTask('echo:1', [node.organization, other.organization]);
    const [first = 0, second = 0] = made.runs;
    await south.vpn.setAddress('10.206.0.9');
    await south.runs.patch(second, { status: 'active', startedAt: new Date() });
    for (const protocol of ['tcp', 'udp'] as const)
      await south.runs.registerPort({ run: second, port: 49152, protocol, label: null });
    expect(await north.family.openRuns(made.task)).toEqual([
      { run: first, task: made.task, node: node.id, address: null, ports: [] },
      {
        run: second,
        task: made.task,
        node: other.id,
        address: '10.206.0.9',
        ports: [
          { port: 49152, protocol: 'tcp' },
          { port: 49152, protocol: 'udp' },
        ],
      },
    ]);
    expect(await north.family.openChildren(made.task)).toEqual([]);
    await south.runs.patch(second, { status: 'completed', finishedAt: new Date() });
    expect((await north.family.openRuns(made.task)).map(({ run }) => run)).toEqual([first]);
    await south.vpn.setAddress(null);
    expect(await north.family.openRuns(999_999)).toEqual([]);
  });

  it('stores and clears the tunnel address, and hears that there is no VPN', async () => {
    const { session, vpn } = createHttpCoordinator(sessionFor(world.port, node.apiKey));
    await session.login();
    await vpn.setAddress('10.206.0.7');
    expect(await world.ask('GET', `/node/${node.id}`)).toMatchObject({ ip: '10.206.0.7' });
    await vpn.setAddress(null);
    expect(await world.ask('GET', `/node/${node.id}`)).toMatchObject({ ip: null });
    await expect(vpn.fetchClientConfig()).rejects.toMatchObject({
      code: 'V6_SERVER_REFUSED',
      details: { status: 501, serverCode: 'V6_VPN_OFF' },
    });
  });

  it('hears of new tasks and ends over the socket, and connects again after an absence', async () => {
    const session = sessionFor(world.port, node.apiKey);
    await createHttpCoordinator(session).session.login();
    const life = new AbortController();
    const heard: string[] = [];
    const events = new NodeEvents({
      origin: session.origin,
      token: session,
      clock: systemClock,
      logger: silentLogger,
    });
    events.listen(
      {
        onSync: () => heard.push('sync'),
        onNewTask: ({ id }) => heard.push(`task ${id}`),
        onKill: ({ kill_list }) =>
          heard.push(...(kill_list ?? []).map((item) => `kill ${item.run_id}`)),
      },
      life.signal,
    );
    try {
      await until('the socket opens', 5000, () => events.connected);
      const status = async () => (await world.ask('GET', `/node/${node.id}`)).status;
      await until('the node is online', 5000, status, (value) => value === 'online');
      const { task, runs } = await world.createTask('echo:1', [node.organization]);
      await until('the task is heard', 5000, () => heard.includes(`task ${task}`));
      await world.ask('POST', '/kill/task', { id: task });
      await until('the end is heard', 5000, () => heard.includes(`kill ${runs[0]}`));
      const syncs = heard.filter((line) => line === 'sync').length;
      await world.goAway();
      await until('the socket closes', 5000, () => !events.connected);
      await world.comeBack();
      await until('the socket opens again', 15_000, () => events.connected);
      await until(
        'it reads again',
        5000,
        () => heard.filter((line) => line === 'sync').length > syncs,
      );
    } finally {
      life.abort(new Error('the test is over'));
    }
  });

  it('hears that a node with open runs has another address, and of how algorithms get on', async () => {
    const session = sessionFor(world.port, node.apiKey);
    await createHttpCoordinator(session).session.login();
    const south = createHttpCoordinator(sessionFor(world.port, other.apiKey));
    await south.session.login();
    const life = new AbortController();
    const heard: string[] = [];
    const nobody = { onNewTask: () => undefined, onKill: () => undefined };
    const base = { origin: session.origin, clock: systemClock, logger: silentLogger };
    new NodeEvents({ ...base, token: session }).listen(
      {
        ...nobody,
        onSync: () => heard.push('sync'),
        onAddressChange: ({ node_id }) => heard.push(`address ${node_id}`),
        onStatus: ({ task_id, status }) => heard.push(`${status} ${task_id}`),
      },
      life.signal,
    );
    await until('the first sync', 5000, () => heard.includes('sync'));
    const open = await south.runs.listOpen();
    for (const { id } of open)
      await south.runs.patch(id, { status: 'failed', finishedAt: new Date() });
    await south.vpn.setAddress('10.206.0.8');
    const made = await world.createTask('echo:1', [other.organization]);
    await south.vpn.setAddress('10.206.0.8');
    await south.vpn.setAddress('10.206.0.9');
    await until('the change is heard', 5000, () => heard.includes(`address ${other.id}`));
    // Not of an address that nobody has runs at, nor of one that stays as it was.
    expect(heard.filter((line) => line.startsWith('address'))).toHaveLength(1);
    const emitter = new NodeEvents({ ...base, token: sessionFor(world.port, other.apiKey) });
    emitter.listen({ ...nobody, onSync: () => heard.push('other') }, life.signal);
    await until('the other is connected', 5000, () => heard.includes('other'));
    emitter.emitStatus({
      run_id: made.runs[0] ?? 0,
      task_id: made.task,
      collaboration_id: world.collaboration,
      node_id: other.id,
      organization_id: other.organization,
      parent_id: null,
      status: 'active',
    });
    await until('the status is heard', 5000, () => heard.includes(`active ${made.task}`));
    await south.vpn.setAddress(null);
    life.abort(new Error('done'));
  });

  it('has a code for a server that is not there', async () => {
    const { session } = createHttpCoordinator(sessionFor(1, node.apiKey));
    await expect(session.login()).rejects.toMatchObject({ code: 'V6_SERVER_UNREACHABLE' });
  });
});

type Reply = readonly [status: number, body: unknown];

/** Answers as a Python 4.14 server does where that differs (vantage6-server facts 1.4, 2.4, 3.3), and keeps what it was sent. */
class PythonServer {
  readonly sent: string[] = [];
  reply: (method: string, path: string, body: Readonly<Record<string, unknown>>) => Reply = () => [
    200,
    {},
  ];
  lifeSeconds = 21_600;
  tokens = 0;
  #server: Server | undefined;

  async start(): Promise<number> {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const path = request.url ?? '';
        this.sent.push(`${request.method} ${path}${text === '' ? '' : ` ${text}`}`);
        const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
        const [status, answer] = path.startsWith('/api/token/')
          ? this.#token(path)
          : this.reply(request.method ?? '', path, body);
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => this.#server?.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  #token(path: string): Reply {
    if (path === '/api/token/container') return [200, { container_token: 'a.b.c' }];
    this.tokens += 1;
    const iat = Math.floor(Date.now() / 1000);
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { sub: 3, client_type: 'node', iat, exp: iat + this.lifeSeconds };
    const access = `${part({ alg: 'HS256' })}.${part(claims)}.${this.tokens}`;
    const refresh_token = `refresh ${this.tokens}`;
    return [200, { access_token: access, refresh_token, refresh_url: '/api/token/refresh' }];
  }
}

describe('the node against a Python server', () => {
  const server = new PythonServer();
  let port = 0;
  beforeAll(async () => {
    port = await server.start();
  });
  afterAll(() => server.stop());

  const connect = async () => {
    server.sent.length = 0;
    const session = sessionFor(port, 'key');
    const coordinator = createHttpCoordinator(session);
    server.reply = () => [200, { id: 3, organization: { id: 2 }, collaboration: { id: 1 } }];
    await coordinator.session.login();
    server.sent.length = 0;
    return coordinator;
  };

  it('writes dates with six digits and an offset, the only form that it reads', async () => {
    const { runs } = await connect();
    await runs.patch(7, { status: 'active', startedAt: new Date('2030-01-02T03:04:05.678Z') });
    expect(server.sent).toEqual([
      'PATCH /api/run/7 {"status":"active","started_at":"2030-01-02T03:04:05.678000+00:00"}',
    ]);
  });

  it('leaves the field that it does not know out, once noticed, and then registers no UDP port', async () => {
    const { runs } = await connect();
    server.reply = (_method, _path, body) =>
      'protocol' in body
        ? [400, { msg: 'Request body is incorrect', errors: { protocol: ['Unknown field.'] } }]
        : [201, { id: 1 }];
    const port_ = { run: 7, port: 49152, label: null };
    await runs.registerPort({ ...port_, protocol: 'tcp' });
    await runs.registerPort({ ...port_, protocol: 'udp' });
    await runs.registerPort({ ...port_, port: 49153, protocol: 'tcp' });
    expect(server.sent).toEqual([
      'POST /api/port {"port":49152,"run_id":7,"label":null,"protocol":"tcp"}',
      'POST /api/port {"port":49152,"run_id":7,"label":null}',
      'POST /api/port {"port":49153,"run_id":7,"label":null}',
    ]);
  });

  it('follows the pages by their paths from the root, and sorts runs by age', async () => {
    const { runs } = await connect();
    const run = (id: number) => ({
      id,
      status: 'pending',
      input: '',
      started_at: null,
      blob_storage_used: false,
      task: { id: 1, image: 'echo', parent: null, databases: [{ label: 'a', parameters: '{}' }] },
    });
    server.reply = (_method, path) =>
      path.includes('page=2')
        ? [200, { data: [run(4)], links: {} }]
        : [200, { data: [run(9)], links: { next: '/api/run?state=open&page=2' } }];
    expect((await runs.listOpen()).map(({ id }) => id)).toEqual([4, 9]);
    expect(server.sent[1]).toBe('GET /api/run?state=open&page=2');
  });

  it('reads the other runs although one has its input in a blob store', async () => {
    const { runs } = await connect();
    const run = (id: number) => ({ id, status: 'pending', task: { id, image: 'echo:1' } });
    const elsewhere = { ...run(1), input: 'a name', blob_storage_used: true };
    server.reply = () => [200, { data: [elsewhere, { ...run(2), input: 'YQ==' }], links: {} }];
    expect(await runs.listOpen()).toMatchObject([{ id: 1, isInBlobStore: true }, { id: 2 }]);
  });

  it('reads families: ports without protocol, and the children that have not ended', async () => {
    const { family } = await connect();
    const run = {
      id: 7,
      task: { id: 5 },
      node: { id: 2, ip: '10.76.0.2' },
      ports: [{ port: 50_000 }],
    };
    server.reply = (_method, path) =>
      path.startsWith('/api/task')
        ? [
            200,
            {
              data: [
                { id: 9, finished_at: null },
                { id: 8, finished_at: '2030' },
              ],
            },
          ]
        : [200, { data: [run, { ...run, id: 8, node: {}, ports: [] }], links: {} }];
    expect(await family.openRuns(5)).toEqual([
      {
        run: 7,
        task: 5,
        node: 2,
        address: '10.76.0.2',
        ports: [{ port: 50_000, protocol: undefined }],
      },
      { run: 8, task: 5, node: undefined, address: null, ports: [] },
    ]);
    expect(await family.openChildren(5)).toEqual([9]);
    server.reply = () => [400, { msg: 'Task id does not exist' }];
    expect(await family.openRuns(5)).toEqual([]);
  });

  it('renews its token before the end, with the refresh token and not with the key', async () => {
    server.lifeSeconds = 1;
    const { vpn } = await connect();
    // Three quarters of a second of its life, by the real clock: the session measures it so.
    await systemClock.sleep(800);
    await vpn.setAddress(null);
    server.lifeSeconds = 21_600;
    expect(server.sent).toEqual(['POST /api/token/refresh', 'PATCH /api/node/3 {"clear_ip":true}']);
  });

  it('repeats a read once when the token is refused, and a write never', async () => {
    const { runs } = await connect();
    server.reply = () => [401, { msg: 'You lack the permission to do that!' }];
    await expect(runs.patch(7, { status: 'active' })).rejects.toSatisfy((error) =>
      isV6Error(error, 'V6_SERVER_REFUSED'),
    );
    expect(server.sent).toHaveLength(1);
    server.sent.length = 0;
    await expect(runs.listOpen()).rejects.toMatchObject({ details: { status: 401 } });
    expect(server.sent.filter((line) => line.startsWith('GET'))).toHaveLength(2);
  });
});
