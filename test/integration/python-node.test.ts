import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { PythonClients, type PythonUser } from '../support/python-client.ts';
import { buildPythonAlgorithm } from '../support/python-image.ts';
import { PythonNode } from '../support/python-node.ts';
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

// The real Python node 4.15.2 at our server, with Python algorithms; its tasks come from the real Python user client. It runs as a
// process of the host and without VPN: its VPN client, and the node as a container, need images that only a registry has.

const IMAGE = 'v6-test-python-node:1';
const PASSWORD = 'Right-pass-1';
const LIMIT_MS = 30_000;
const TEST_TIMEOUT_MS = 90_000;

interface Party {
  readonly organization: number;
  readonly node: number;
  readonly apiKey: string;
  readonly user: PythonUser;
}

let engine: Engine;
let folder: TempFolder;
let server: ServerProcess;
let python: PythonClients;
let rest: Caller;
let rootToken: string;
const nodes: PythonNode[] = [];
const sockets: Heard[] = [];

const num = (value: unknown): number => Number(value);

async function create(to: string, body: object): Promise<Readonly<Record<string, unknown>>> {
  const answer = await rest('POST', to, body);
  if (answer.status > 201) throw new Error(`${to}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** An organization with a node and a user, alone in a collaboration. */
async function party(name: string, encrypted: boolean): Promise<Party & { collaboration: number }> {
  const organization = num((await create('/organization', { name })).id);
  const wanted = { name: `${name} trial`, organization_ids: [organization], encrypted };
  const collaboration = num((await create('/collaboration', wanted)).id);
  const node = await create('/node', {
    organization_id: organization,
    collaboration_id: collaboration,
  });
  const person = {
    username: name,
    firstname: 'A',
    lastname: 'B',
    password: PASSWORD,
    email: `${name}@example.org`,
  };
  await create('/user', { ...person, organization_id: organization, roles: [1] });
  const user = await python.open(name, server.port);
  await user.ask('authenticate', { username: name, password: PASSWORD });
  await user.ask('setup_collaboration', { collaboration_id: collaboration });
  return { organization, collaboration, node: num(node.id), apiKey: String(node.api_key), user };
}

function nodeOf({ apiKey }: Party, more: object = {}): PythonNode {
  const subnet = `10.233.${17 + nodes.length}.0/24`;
  const node = new PythonNode({
    engine,
    root: folder.path,
    apiKey,
    port: server.port,
    subnet,
    ...more,
  });
  nodes.push(node);
  return node;
}

async function online({ node }: Party, process: PythonNode, is = 'online'): Promise<void> {
  const status = async () => (await rest('GET', `/node/${node}`)).body.status;
  await until(`the node is ${is}`, LIMIT_MS, status, (now) => now === is).catch((error: Error) => {
    throw new Error(`${error.message}\n${process.output()}`, { cause: error });
  });
}

async function task(
  { user, organization }: Party,
  method: string,
  more: object = {},
): Promise<number> {
  const made = await user.record('task.create', {
    organizations: [organization],
    name: method,
    image: IMAGE,
    description: 'for a Python node',
    input_: { method, ...more },
    databases: method === 'mean' ? [{ label: 'ages' }] : [],
  });
  return num(made.id);
}

const runOf = async (id: number) =>
  ((await rest('GET', `/run?task_id=${id}`)).body.data as Readonly<Record<string, unknown>>[])[0] ??
  {};

/** What the Python client makes of the only result. */
async function resultOf({ user }: Party, id: number): Promise<unknown> {
  const [result] = await user.list('wait_for_results', { task_id: id, interval: 0.2 });
  if (typeof result?.result !== 'string')
    throw new Error(`no result: ${JSON.stringify(await runOf(id))}\n${nodes.at(-1)?.output()}`);
  return JSON.parse(result.result);
}

beforeAll(async () => {
  engine = await connectEngine();
  folder = await tempFolder();
  await buildPythonAlgorithm(engine, IMAGE);
  server = await startServerProcess(folder.path, { port: await freePort() });
  python = await PythonClients.start();
  const login = { username: 'root', password: await rootPassword(folder.path) };
  rootToken = String((await caller(server.url)('POST', '/token/user', login)).body.access_token);
  rest = caller(server.url, rootToken);
});
afterEach(async () => {
  for (const { socket } of sockets.splice(0)) socket.close();
  for (const node of nodes) await node.remove();
});
afterAll(async () => {
  python?.stop();
  await server?.stop();
  await engine?.images.remove(IMAGE);
  await folder?.remove();
});

describe('a Python node at our server', { timeout: TEST_TIMEOUT_MS }, () => {
  it('takes runs and finishes them, tells their status, is killed, and outlives a restart of the server', async () => {
    const north = await party('north', false);
    const csv = path.join(folder.path, 'ages.csv');
    await writeFile(csv, 'age\n30\n40\n');
    const node = nodeOf(north, { databases: { ages: csv } });
    await node.start();
    await online(north, node);
    const heard = listen(server.port, rootToken, 'polling');
    sockets.push(heard);
    // It sends them once it is online.
    await until('its databases are known', LIMIT_MS, async () => {
      const { body } = await rest('GET', `/node/${north.node}`);
      return JSON.stringify(body.config).includes('{"key":"database_labels","value":"ages"}');
    });

    const echo = await task(north, 'echo', { args: [1], kwargs: { a: 'é' } });
    expect(await resultOf(north, echo)).toEqual({ args: [1], kwargs: { a: 'é' } });
    const run = await runOf(echo);
    expect(run).toMatchObject({
      status: 'completed',
      log: expect.stringContaining('echo was called'),
    });
    expect(run.started_at).toEqual(expect.any(String));
    const statuses = () =>
      heard.events
        .filter(({ name }) => name === 'algorithm_status_change')
        .map(({ payload }) => payload as { status: string; run_id: number });
    await until('the end is told', LIMIT_MS, () =>
      statuses().some(({ status }) => status === 'completed'),
    );
    expect(statuses()).toContainEqual(
      expect.objectContaining({ run_id: run.id, status: 'active' }),
    );
    const logged = heard.events.filter(({ name }) => name === 'algorithm_log');
    expect(JSON.stringify(logged)).toContain('Dispatching');

    const mean = await task(north, 'mean', { kwargs: { column: 'age' } });
    expect(await resultOf(north, mean)).toEqual({ mean: 35, rows: 2 });
    const fail = await task(north, 'fail');
    await until(
      'the failure is known',
      LIMIT_MS,
      async () => (await runOf(fail)).finished_at !== null,
    );
    expect(await runOf(fail)).toMatchObject({
      status: 'crashed',
      log: expect.stringContaining('broken on purpose'),
    });

    const wait = await task(north, 'wait', { args: [600] });
    await until('it runs', LIMIT_MS, async () => (await runOf(wait)).status === 'active');
    await north.user.ask('task.kill', { id_: wait });
    const left = () => engine.containers.list({ node: node.name });
    await until('its container is gone', LIMIT_MS, async () => (await left()).length === 0);
    expect(await runOf(wait)).toMatchObject({ status: 'killed by user' });

    await server.stop();
    server = await startServerProcess(folder.path, { port: server.port });
    await online(north, node);
    const after = await task(north, 'echo', { args: ['after'] });
    expect(await resultOf(north, after)).toEqual({ args: ['after'], kwargs: {} });
    await node.remove();
    await online(north, node, 'offline');
  });

  it('works in an encrypted collaboration: inputs and results are sealed at the server, and open for the user', async () => {
    const sealed = await party('sealed', true);
    const key = path.join(folder.path, 'sealed.pem');
    await sealed.user.ask('util.generate_private_key', { file_: key });
    await sealed.user.ask('setup_encryption', { private_key_file: key });
    const node = nodeOf(sealed, { privateKey: key });
    await node.start();
    await online(sealed, node);
    const secret = await task(sealed, 'echo', { args: ['for your eyes only'] });
    expect(await resultOf(sealed, secret)).toEqual({ args: ['for your eyes only'], kwargs: {} });
    const { id, input } = await runOf(secret);
    const { result } = (await rest('GET', `/result/${num(id)}`)).body;
    for (const text of [input, result]) expect(text).toMatch(/^[\w+/=]+\$[\w+/=]+\$[\w+/=]+$/);
  });

  it('gives its algorithms the server through its proxy: a sub-task, its results, and what a central part reads', async () => {
    const central = await party('central', false);
    const node = nodeOf(central);
    await node.start();
    await online(central, node);
    // Its proxy cannot answer for a single result: a fault of 4.x.
    const kwargs = { organizations: [central.organization], single: false };
    const made = await task(central, 'central', { kwargs });
    expect(await resultOf(central, made)).toMatchObject({
      results: [{ organization: central.organization, token: 'token' }],
      organizations: [central.organization],
      organization: central.organization,
      collaboration: central.collaboration,
      studies: [],
      task: 'completed',
      run: 'completed',
    });
  });

  it('ends with a wrong API key, and says so', async () => {
    const stranger = { apiKey: '3f2c2d9a-7b1e-4c89-9a55-0d6f1b2a3c4d' } as Party;
    const node = nodeOf(stranger);
    const { child } = await node.start();
    await until('it has ended', LIMIT_MS, () => child.exitCode !== null);
    expect(node.output()).toMatch(/Failed to authenticate/);
  });
});
