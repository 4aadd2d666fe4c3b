import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/core/engine/engine.ts';
import { dockerSandbox } from '../support/docker.ts';
import { PythonClients, type PythonUser } from '../support/python-client.ts';
import { buildPythonAlgorithm } from '../support/python-image.ts';
import { PythonNode } from '../support/python-node.ts';
import { startPythonServer } from '../support/python-server.ts';
import { runCli } from '../support/run-cli.ts';
import {
  type Caller,
  caller,
  freePort,
  rootPassword,
  startServerProcess,
} from '../support/server-process.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { TestNodeDaemon } from '../support/test-node.ts';
import { until } from '../support/wait.ts';

// An encrypted collaboration of our node (north) and a Python node (south), for a Python user, with Python algorithms on both, at
// our server and at a Python one. Everything 4.15.2.

const IMAGE = 'v6-test-python-encrypted:1';
const PASSWORD = 'Right-pass-1';
const LIMIT_MS = 60_000;
const TEST_TIMEOUT_MS = 120_000;
const SEALED = /^[\w+/=]+\$[\w+/=]+\$[\w+/=]+$/;
const NO_ADDRESS = {
  address1: '',
  address2: '',
  zipcode: '',
  country: '',
  domain: '',
  public_key: '',
};

interface Server {
  readonly url: string;
  readonly port: number;
  stop(): Promise<unknown>;
}

interface Start {
  readonly name: string;
  readonly number: number;
  readonly start: (
    folder: string,
  ) => Promise<{ readonly server: Server; readonly password: string }>;
}

const SERVERS: readonly Start[] = [
  {
    name: 'our server',
    number: 1,
    start: async (folder) => {
      const server = await startServerProcess(folder, { port: await freePort() });
      return { server, password: await rootPassword(folder) };
    },
  },
  {
    name: 'a Python server',
    number: 2,
    start: async (folder) => ({ server: await startPythonServer(folder), password: 'root' }),
  },
];

let engine: Engine;
let vpnImage: string;

beforeAll(async () => {
  ({ engine, image: vpnImage } = await dockerSandbox('pysealed'));
  await buildPythonAlgorithm(engine, IMAGE);
});
afterAll(async () => {
  await engine?.images.remove(IMAGE);
});

const num = (value: unknown): number => Number(value);

describe.each(SERVERS)('an encrypted collaboration at $name', ({ number, start }) => {
  let folder: TempFolder;
  let server: Server;
  let rest: Caller;
  let python: PythonClients;
  let user: PythonUser;
  let ours: TestNodeDaemon;
  let theirs: PythonNode;
  let north: number;
  let south: number;

  const create = async (to: string, body: object) => {
    const answer = await rest('POST', to, body);
    if (answer.status > 201) throw new Error(`${to}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };

  const online = async (node: number): Promise<void> => {
    const status = async () => (await rest('GET', `/node/${node}`)).body.status;
    await until(`node ${node} is online`, LIMIT_MS, status, (is) => is === 'online').catch(
      (error: Error) => {
        throw new Error(`${error.message}\n${ours.log.join('\n')}\n${theirs.output()}`, {
          cause: error,
        });
      },
    );
  };

  beforeAll(async () => {
    folder = await tempFolder();
    const started = await start(folder.path);
    server = started.server;
    const login = { username: 'root', password: started.password };
    const { body } = await caller(server.url)('POST', '/token/user', login);
    rest = caller(server.url, String(body.access_token));
    const ids: number[] = [];
    for (const organization of ['north', 'south'])
      ids.push(num((await create('/organization', { name: organization, ...NO_ADDRESS })).id));
    [north = 0, south = 0] = ids;
    const wanted = { name: 'sealed', organization_ids: ids, encrypted: true };
    const collaboration = num((await create('/collaboration', wanted)).id);
    const nodes = [];
    for (const organization_id of ids)
      nodes.push(await create('/node', { collaboration_id: collaboration, organization_id }));
    const person = { firstname: 'A', lastname: 'B', email: 'n@example.org', roles: [1] };
    await create('/user', {
      ...person,
      username: 'nora',
      password: PASSWORD,
      organization_id: north,
    });

    // A process of its own: the client keeps its first private key for as long as its process lives.
    python = await PythonClients.start();
    user = await python.open('nora', server.port);
    await user.ask('authenticate', { username: 'nora', password: PASSWORD });
    await user.ask('setup_collaboration', { collaboration_id: collaboration });
    const env = { HOME: folder.path };
    for (const organization of ['north', 'south']) {
      const words = ['node', 'create-private-key', '--no-upload', '-o', organization];
      const made = await runCli([...words, '--output-dir', folder.path], { env });
      expect(made.status, made.stderr).toBe(0);
    }
    const keyOf = (organization: string) => path.join(folder.path, `privkey_${organization}.pem`);
    const key = keyOf('north');
    await user.ask('setup_encryption', { private_key_file: key });

    theirs = new PythonNode({
      engine,
      root: folder.path,
      apiKey: String(nodes[1]?.api_key),
      port: server.port,
      subnet: `10.233.${40 + number}.0/24`,
      privateKey: keyOf('south'),
    });
    ours = new TestNodeDaemon({
      name: 'north',
      scope: `demo-pysealed${number}`,
      root: folder.path,
      engine,
      vpnImage,
      apiKey: String(nodes[0]?.api_key),
      port: server.port,
      config: [
        `isolated_range: 10.206.${20 + number}.0/24`,
        `encryption: {enabled: true, private_key: ${key}}`,
      ],
    });
    await theirs.start();
    await ours.start();
    for (const { id } of nodes) await online(num(id));
  });
  afterAll(async () => {
    python?.stop();
    await ours?.clean();
    await theirs?.remove();
    await server?.stop();
    await folder?.remove();
  });

  /** Results by organization as the Python user reads them. */
  const results = async (at: readonly number[], input: object) => {
    const task = await user.record('task.create', {
      organizations: at,
      name: 'sealed',
      image: IMAGE,
      description: '',
      input_: input,
      databases: [],
    });
    const list = await user.list('wait_for_results', { task_id: task.id, interval: 0.2 });
    const { body } = await rest('GET', `/run?task_id=${num(task.id)}`);
    const found: Record<number, unknown> = {};
    for (const run of body.data as { id: number; log: string; organization: { id: number } }[]) {
      const own = list.find(({ id }) => id === run.id);
      if (typeof own?.result !== 'string' || own.result === '')
        throw new Error(
          `run ${run.id} has no result: ${run.log}\n${ours.log.slice(-30).join('\n')}`,
        );
      found[run.organization.id] = JSON.parse(own.result);
    }
    return { task: num(task.id), found };
  };

  it('hides inputs and results from the server, and shows them to the user', {
    timeout: TEST_TIMEOUT_MS,
  }, async () => {
    const input = { method: 'echo', args: ['for your eyes only', 'é'], kwargs: {} };
    const { task, found } = await results([north, south], input);
    const echo = { args: input.args, kwargs: {} };
    expect(found).toEqual({ [north]: echo, [south]: echo });
    for (const list of ['run', 'result']) {
      const { body } = await rest('GET', `/${list}?task_id=${task}`);
      for (const { input: sent, result } of body.data as { input?: string; result?: string }[])
        expect(sent ?? result).toMatch(SEALED);
    }
  });

  it('lets a part on either node give sub-tasks to both, and read their results', {
    timeout: TEST_TIMEOUT_MS,
  }, async () => {
    const parts = [
      expect.objectContaining({ organization: north }),
      expect.objectContaining({ organization: south }),
    ];
    const kwargs = { organizations: [north, south], single: false, studies: false };
    const { found } = await results([north, south], { method: 'central', kwargs });
    for (const at of [north, south])
      expect(found[at]).toMatchObject({
        results: expect.arrayContaining(parts),
        task: 'completed',
      });
  });
});
