import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../support/run-cli.ts';
import {
  type Caller,
  caller,
  freePort,
  type Heard,
  listen,
  rootPassword,
  type ServerProcess,
  startServerProcess,
} from '../support/server-process.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { until } from '../support/wait.ts';

const IMAGE = 'registry.example/echo:1';
const INPUT = Buffer.from('{"method":"echo"}').toString('base64');
const LIMIT_MS = 15_000;

interface Node {
  readonly id: number;
  readonly organization: number;
  readonly apiKey: string;
  call: Caller;
  token: string;
}

let folder: TempFolder;
let server: ServerProcess;
let root: Caller;
let user: Caller;
let trial: number;
const nodes: Node[] = [];
const sockets: Heard[] = [];
const secrets: string[] = [];

const num = (value: unknown): number => Number(value);

async function login(path: string, body: object): Promise<{ call: Caller; token: string }> {
  const { status, body: answer } = await caller(server.url)('POST', path, body);
  expect(status).toBe(200);
  const token = String(answer.access_token);
  secrets.push(token, String(answer.refresh_token));
  return { call: caller(server.url, token), token };
}

function hear(token: string | undefined, transport: 'polling' | 'websocket'): Heard {
  const heard = listen(server.port, token, transport);
  sockets.push(heard);
  return heard;
}

const hasHeard = (heard: Heard, name: string): Promise<unknown> =>
  until(`event ${name}`, LIMIT_MS, () => heard.names.includes(name));

beforeAll(async () => {
  folder = await tempFolder();
  server = await startServerProcess(folder.path, { port: await freePort() });
  const password = await rootPassword(folder.path);
  secrets.push(password);
  root = (await login('/token/user', { username: 'root', password })).call;
  const organizations: number[] = [];
  for (const name of ['North', 'South'])
    organizations.push(num((await root('POST', '/organization', { name })).body.id));
  const collaboration = { name: 'Trial', organization_ids: organizations, encrypted: false };
  trial = num((await root('POST', '/collaboration', collaboration)).body.id);
  for (const organization of organizations) {
    const { body } = await root('POST', '/node', {
      collaboration_id: trial,
      organization_id: organization,
    });
    const apiKey = String(body.api_key);
    secrets.push(apiKey);
    nodes.push({
      id: num(body.id),
      organization,
      apiKey,
      ...(await login('/token/node', { api_key: apiKey })),
    });
  }
  await root('POST', '/user', {
    username: 'nora',
    password: 'Right-pass-1',
    email: 'nora@example.org',
    organization_id: organizations[0],
    roles: [5],
  });
  user = (await login('/token/user', { username: 'nora', password: 'Right-pass-1' })).call;
});

afterAll(async () => {
  for (const { socket } of sockets) socket.close();
  await server?.stop();
  await folder?.remove();
});

function pair(): readonly [Node, Node] {
  const [north, south] = nodes;
  if (north === undefined || south === undefined) throw new Error('no nodes');
  return [north, south];
}

async function createTask(): Promise<number> {
  const { status, body } = await user('POST', '/task', {
    image: IMAGE,
    collaboration_id: trial,
    organizations: nodes.map(({ organization: id }) => ({ id, input: INPUT })),
  });
  expect(status).toBe(201);
  return num(body.id);
}

/** As a node does it: open runs of the task, with the task inside. */
async function openRun(node: Node, task: number): Promise<number> {
  const path = `/run?state=open&node_id=${node.id}&include=task&task_id=${task}`;
  const { body } = await node.call('GET', path);
  const [run] = body.data as { id: number; task: { image: string } }[];
  expect(run?.task.image).toBe(IMAGE);
  return num(run?.id);
}

/** Port first, acknowledged; then the run is active. */
async function startRun(node: Node, task: number, port: number) {
  const run = await openRun(node, task);
  expect((await node.call('PATCH', `/run/${run}`, { started_at: new Date() })).status).toBe(200);
  const asked = { task_id: task, image: IMAGE };
  const { body } = await node.call('POST', '/token/container', asked);
  expect((await node.call('POST', '/port', { run_id: run, port, label: 'com' })).status).toBe(201);
  expect((await node.call('PATCH', `/run/${run}`, { status: 'active' })).status).toBe(200);
  const token = String(body.container_token);
  secrets.push(token);
  return { run, algorithm: caller(server.url, token) };
}

const portsOf = async (algorithm: Caller, query = ''): Promise<number[]> => {
  const { body } = await algorithm('GET', `/vpn/algorithm/addresses${query}`);
  return (body.addresses as { port: number }[]).map((address) => address.port);
};

const statusOfNorth = async (): Promise<unknown> =>
  (await user('GET', `/node/${pair()[0].id}`)).body.status;

describe('a coordination server, from its first start', () => {
  it('takes nodes over long polling and over websockets, and says sync after they joined', async () => {
    const [north, south] = pair();
    const polling = hear(north.token, 'polling');
    await hasHeard(polling, 'sync');
    const websocket = hear(south.token, 'websocket');
    await hasHeard(websocket, 'sync');
    await hasHeard(polling, 'node-online');
    for (const [at, node] of pair().entries()) {
      const patched = await node.call('PATCH', `/node/${node.id}`, { ip: `10.76.0.${at + 5}` });
      expect(patched.body).toMatchObject({ status: 'online', ip: `10.76.0.${at + 5}` });
    }
    polling.socket.emit('node_info_update', { vpn: 'on', database_labels: ['a', 'b'] });
    const config = await until('configuration of the node', LIMIT_MS, async () => {
      const { body } = await user('GET', `/node/${north.id}`);
      return (body.config as object[]).length === 3 ? body.config : undefined;
    });
    expect(config).toContainEqual({ key: 'vpn', value: 'on' });
  });

  it('carries a task through its whole life, with a sub-task and addresses', async () => {
    const [north, south] = pair();
    const [northEvents, southEvents] = sockets as [Heard, Heard];
    const task = await createTask();
    for (const heard of [northEvents, southEvents]) {
      await hasHeard(heard, 'new_task');
      const event = heard.events.find(({ name }) => name === 'new_task');
      expect(event?.payload).toStrictEqual({ id: task, parent_id: null });
    }
    const first = await startRun(north, task, 49_152);
    expect(await portsOf(first.algorithm)).toStrictEqual([49_152]);
    const second = await startRun(south, task, 49_200);
    expect(await portsOf(first.algorithm)).toStrictEqual([49_152, 49_200]);
    expect(await portsOf(second.algorithm, '?only_siblings=1')).toStrictEqual([49_152]);

    const made = await first.algorithm('POST', '/task', {
      image: IMAGE,
      collaboration_id: trial,
      organizations: [{ id: south.organization, input: INPUT }],
    });
    expect([made.status, made.body.job_id]).toStrictEqual([201, 1]);
    const child = num(made.body.id);
    const third = await startRun(south, child, 49_201);
    expect(await portsOf(first.algorithm, '?only_children=1')).toStrictEqual([49_201]);
    const result = Buffer.from('"pong"').toString('base64');
    const end = { status: 'completed', result, log: 'done', finished_at: new Date() };
    expect((await south.call('PATCH', `/run/${third.run}`, end)).status).toBe(200);
    const results = await first.algorithm('GET', `/result?task_id=${child}`);
    expect((results.body.data as { result: string }[])[0]?.result).toBe(result);
    expect(await portsOf(first.algorithm, '?only_children=1')).toStrictEqual([]);
    expect((await third.algorithm('GET', `/task/${child}`)).status).toBe(401);

    for (const [node, { run }] of [
      [north, first],
      [south, second],
    ] as const)
      await node.call('PATCH', `/run/${run}`, end);
    expect((await user('GET', `/task/${task}/status`)).body).toStrictEqual({ status: 'completed' });
    expect((await user('GET', '/port')).body.data).toStrictEqual([]);
  });

  it('passes on what a node says of its own runs, and nothing else', async () => {
    const [north, south] = pair();
    const [northEvents, southEvents] = sockets as [Heard, Heard];
    const task = await createTask();
    const run = await openRun(north, task);
    const foreign = await openRun(south, task);
    const change = { status: 'active', task_id: 1, collaboration_id: 99, node_id: 99 };
    northEvents.socket.emit('algorithm_status_change', { ...change, run_id: foreign });
    northEvents.socket.emit('algorithm_log', { run_id: foreign, log: 'not mine' });
    northEvents.socket.emit('algorithm_status_change', { ...change, run_id: 999_999 });
    northEvents.socket.emit('algorithm_status_change', 'nonsense');
    northEvents.socket.emit('algorithm_log', { run_id: run, log: 'mine' });
    northEvents.socket.emit('algorithm_status_change', { ...change, run_id: run });
    await hasHeard(southEvents, 'algorithm_status_change');
    const passed = southEvents.events.filter(({ name }) => name === 'algorithm_status_change');
    expect(passed.map(({ payload }) => payload)).toStrictEqual([
      {
        status: 'active',
        run_id: run,
        task_id: task,
        job_id: 2,
        collaboration_id: trial,
        node_id: north.id,
        organization_id: north.organization,
        parent_id: null,
      },
    ]);
    expect((await user('GET', `/run/${run}`)).body.log).toBe('mine');
    expect((await user('GET', `/run/${foreign}`)).body.log).toBeNull();
    expect(southEvents.names).not.toContain('algorithm_log');
    await user('POST', '/kill/task', { id: task });
  });

  it('repeats a kill to a node that was away, until the node knows', async () => {
    const [north] = pair();
    const [northEvents] = sockets as [Heard];
    const task = await createTask();
    const { run, algorithm } = await startRun(north, task, 49_152);
    northEvents.socket.close();
    await until('node offline', LIMIT_MS, async () => {
      const { body } = await user('GET', `/node/${north.id}`);
      return body.status === 'offline';
    });
    expect((await user('POST', '/kill/task', { id: task })).status).toBe(200);
    expect((await algorithm('GET', `/task/${task}`)).status).toBe(401);
    const back = hear(north.token, 'polling');
    await hasHeard(back, 'kill_containers');
    const { payload } = back.events.find(({ name }) => name === 'kill_containers') ?? {};
    expect(payload).toStrictEqual({
      collaboration_id: trial,
      kill_list: [{ task_id: task, run_id: run, organization_id: north.organization }],
    });
    const confirmed = await north.call('PATCH', `/run/${run}`, { status: 'killed by user' });
    expect(confirmed.status).toBe(200);
    back.socket.close();
    const again = hear(north.token, 'polling');
    await hasHeard(again, 'sync');
    await until('online', LIMIT_MS, async () => {
      const { body } = await user('GET', `/node/${north.id}`);
      return body.status === 'online';
    });
    expect(again.names).not.toContain('kill_containers');
  });

  it.each(['polling', 'websocket'] as const)(
    'lets nobody in without a good token over %s',
    async (transport) => {
      const nobody = hear(undefined, transport);
      await hasHeard(nobody, 'connect_error');
      const forged = hear(`${pair()[0].token}x`, transport);
      await hasHeard(forged, 'invalid_token');
      await hasHeard(forged, 'disconnect');
      expect(forged.names).toStrictEqual(['invalid_token', 'disconnect']);
    },
  );

  it('ends the connections of a node whose key is reset', async () => {
    const [, south] = pair();
    const heard = hear(south.token, 'websocket');
    await hasHeard(heard, 'sync');
    const { body } = await root('POST', '/recover/node', { id: south.id });
    await hasHeard(heard, 'disconnect');
    secrets.push(String(body.api_key));
    Object.assign(south, await login('/token/node', { api_key: body.api_key }));
  });

  it('answers a port that is taken with its code and a next step', async () => {
    const config = `${folder.path}/test.yaml`;
    expect(await statusOfNorth()).toBe('online');
    const env = { HOME: folder.path };
    const { status, stderr } = await runCli(['server', 'run', '--user', '-c', config], { env });
    expect(status).toBe(69);
    expect(stderr).toContain('V6_NET_PORT_IN_USE');
    expect(stderr).toContain('--port');
    // It had opened the same database.
    expect(await statusOfNorth()).toBe('online');
  });

  it('keeps its data, its keys and its tokens over a restart, and starts with all nodes offline', async () => {
    const before = await user('GET', '/task');
    const polling = hear(pair()[0].token, 'polling');
    await hasHeard(polling, 'sync');
    expect(await server.stop()).toBe(0);
    await hasHeard(polling, 'disconnect');
    // A broken connection, and not an orderly end: after that python-socketio would never come back.
    expect(polling.events.at(-1)).toStrictEqual({ name: 'disconnect', payload: 'transport error' });
    const first = server.output();
    server = await startServerProcess(folder.path, { port: server.port });
    expect((await user('GET', '/task')).body).toStrictEqual(before.body);
    const list = (await user('GET', '/node')).body.data as { status: string }[];
    expect(list.map(({ status }) => status)).toStrictEqual(['offline', 'offline']);
    await login('/token/node', { api_key: pair()[0].apiKey });
    expect(server.output()).not.toContain('First start');
    for (const secret of secrets) expect(first + server.output()).not.toContain(secret);
  });
});
