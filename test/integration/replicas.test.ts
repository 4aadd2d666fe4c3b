import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Balancer, startBalancer } from '../support/balancer.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { type ReplicaNode, startReplicaNode } from '../support/replica-node.ts';
import {
  type Caller,
  caller,
  freePort,
  rootPassword,
  type ServerProcess,
  serverData,
  startServerProcess,
} from '../support/server-process.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { until } from '../support/wait.ts';

const IMAGE = 'registry.example/echo:1';
const INPUT = Buffer.from('{"method":"echo"}').toString('base64');
const LIMIT_MS = 30_000;
const NODES = 6;

interface Replica {
  readonly folder: TempFolder;
  readonly port: number;
  process: ServerProcess;
}

let postgres: TestPostgres;
let uri: string;
let first: Replica;
let second: Replica;
let balancer: Balancer;
let root: Caller;
let rootToken: string;
let user: Caller;
let userToken: string;
let trial: number;
const nodes: ReplicaNode[] = [];
const folders: TempFolder[] = [];

const num = (value: unknown): number => Number(value);
const at = (replica: Replica, token: string): Caller => caller(replica.process.url, token);

async function newReplica(secretOf?: Replica): Promise<Replica> {
  const folder = await tempFolder();
  folders.push(folder);
  if (secretOf !== undefined) {
    await mkdir(serverData(folder.path), { recursive: true, mode: 0o700 });
    const name = 'server-secret';
    await copyFile(
      path.join(serverData(secretOf.folder.path), name),
      path.join(serverData(folder.path), name),
    );
  }
  const port = await freePort();
  return { folder, port, process: await startServerProcess(folder.path, { port, uri }) };
}

async function login(path: string, body: object): Promise<string> {
  const answer = await caller(first.process.url)('POST', path, body);
  expect(answer.status).toBe(200);
  return String(answer.body.access_token);
}

async function made(what: Promise<{ status: number; body: Readonly<Record<string, unknown>> }>) {
  const { status, body } = await what;
  if (status !== 200 && status !== 201) throw new Error(`${status}: ${JSON.stringify(body)}`);
  return num(body.id);
}

const newTask = (call: Caller, organizations: readonly number[]) =>
  call('POST', '/task', {
    name: 'echo',
    image: IMAGE,
    collaboration_id: trial,
    organizations: organizations.map((id) => ({ id, input: INPUT })),
  });

const everybody = (): number[] => nodes.map(({ organization }) => organization);

const onlineNodes = async (call: Caller): Promise<number> => {
  const { status, body } = await call('GET', '/node?status=online');
  if (status !== 200) return -1;
  return (body.data as unknown[]).length;
};

/** Nodes whose socket is at this replica, as the database says. */
async function nodesAt(): Promise<number[]> {
  const { rows } = await postgres.query(
    'select replica_id, count(*)::int as n from replica_node group by replica_id order by n',
    [],
    uri,
  );
  return (rows as { n: number }[]).map(({ n }) => n);
}

beforeAll(async () => {
  postgres = await startPostgres();
  uri = await postgres.newDatabase();
  first = await newReplica();
  second = await newReplica(first);
  balancer = await startBalancer([first.port, second.port]);
  const password = await rootPassword(first.folder.path);
  rootToken = await login('/token/user', { username: 'root', password });
  root = caller(`http://127.0.0.1:${balancer.port}/api`, rootToken);
  const organizations: number[] = [];
  for (let index = 0; index < NODES; index += 1)
    organizations.push(await made(root('POST', '/organization', { name: `Hospital ${index}` })));
  const body = { name: 'Trial', organization_ids: organizations, encrypted: false };
  trial = await made(root('POST', '/collaboration', body));
  for (const username of ['nora', 'otto'])
    await made(
      root('POST', '/user', {
        username,
        password: 'Right-pass-1',
        firstname: '',
        lastname: '',
        email: `${username}@example.org`,
        organization_id: organizations[0],
        roles: [await researcher()],
      }),
    );
  userToken = await login('/token/user', { username: 'nora', password: 'Right-pass-1' });
  user = caller(`http://127.0.0.1:${balancer.port}/api`, userToken);
  for (const [index, organization] of organizations.entries()) {
    const answer = await root('POST', '/node', {
      collaboration_id: trial,
      organization_id: organization,
    });
    const token = await login('/token/node', { api_key: answer.body.api_key });
    const transport = index % 2 === 0 ? 'websocket' : 'polling';
    const { port } = balancer;
    nodes.push(startReplicaNode({ port, id: num(answer.body.id), organization, token, transport }));
  }
});

async function researcher(): Promise<number> {
  const { body } = await root('GET', '/role?name=Researcher');
  return num((body.data as readonly { id: number }[])[0]?.id);
}

afterAll(async () => {
  for (const node of nodes) node.close();
  await balancer?.close();
  await Promise.allSettled([first?.process.kill(), second?.process.kill()]);
  await postgres?.remove();
  for (const folder of folders) await folder.remove();
});

describe('two replicas on one PostgreSQL', () => {
  it('share the nodes behind a balancer, and agree who is online', async () => {
    for (const replica of [first, second])
      await until('all nodes are online', LIMIT_MS, async () => {
        expect(await onlineNodes(at(replica, rootToken))).toBe(NODES);
        return true;
      });
    expect(await nodesAt()).toHaveLength(2);
    expect(new Set(balancer.answered)).toStrictEqual(new Set([first.port, second.port]));
  });

  it('tell the nodes of both of a task that was stored at one, and of its end', async () => {
    for (const [maker, killer] of [
      [first, second],
      [second, first],
    ] as const) {
      const task = await made(newTask(at(maker, userToken), everybody()));
      await until('all nodes know the task', LIMIT_MS, () =>
        nodes.every((node) => node.tasks.has(task)),
      );
      const { status } = await at(killer, userToken)('POST', '/kill/task', { id: task });
      expect(status).toBe(200);
      await until('all nodes hear of the kill', LIMIT_MS, () =>
        nodes.every((node) =>
          node.events.some(
            ({ name, payload }) =>
              name === 'kill_containers' && JSON.stringify(payload).includes(`"task_id":${task}`),
          ),
        ),
      );
    }
  });

  it('pass on what nodes say to users at the other one, also a log longer than one notification', async () => {
    const task = await made(newTask(user, everybody()));
    await until('all nodes know the task', LIMIT_MS, () =>
      nodes.every((node) => node.tasks.has(task)),
    );
    const listeners = [first, second].map((replica) =>
      startReplicaNode({
        port: replica.port,
        id: 0,
        organization: 0,
        token: rootToken,
        transport: 'websocket',
      }),
    );
    await until('both listen', LIMIT_MS, () => listeners.every(({ socket }) => socket.connected));
    for (const [index, node] of nodes.entries()) {
      const { body } = await node.call(
        'GET',
        `/run?task_id=${task}&organization_id=${node.organization}`,
      );
      const run = num((body.data as readonly { id: number }[])[0]?.id);
      const log = `${index} `.repeat(10_000) + 'ä€𝄞\n';
      node.socket.emit('algorithm_log', { run_id: run, task_id: task, log });
      node.socket.emit('algorithm_status_change', { run_id: run, status: 'active' });
      for (const listener of listeners) {
        const heard = (name: string) =>
          until(`${name} of node ${index}`, LIMIT_MS, () =>
            listener.events.find(
              (event) =>
                event.name === name && (event.payload as { run_id: number }).run_id === run,
            ),
          );
        expect((await heard('algorithm_log'))?.payload).toMatchObject({ log });
        expect((await heard('algorithm_status_change'))?.payload).toMatchObject({
          status: 'active',
        });
      }
    }
    for (const listener of listeners) listener.close();
  });

  it('end the sockets of an account at both when it ends at one', async () => {
    const token = await login('/token/user', { username: 'otto', password: 'Right-pass-1' });
    const listeners = [first, second].map(({ port }) =>
      startReplicaNode({ port, id: 0, organization: 0, token, transport: 'websocket' }),
    );
    await until('both listen', LIMIT_MS, () => listeners.every(({ socket }) => socket.connected));
    const ended = listeners.map(
      ({ socket }) => new Promise((resolve) => socket.once('disconnect', resolve)),
    );
    const { body } = await at(first, rootToken)('GET', '/user?username=otto');
    const id = num((body.data as readonly { id: number }[])[0]?.id);
    expect((await at(first, rootToken)('DELETE', `/user/${id}`)).status).toBe(200);
    await Promise.all(ended);
    for (const listener of listeners) listener.close();
  });

  it('refuse a third one with a secret of its own, and say what to copy', async () => {
    await expect(newReplica()).rejects.toThrow(/copy server-secret/);
  });

  it('refuse one that signs tokens with another key', async () => {
    const folder = await tempFolder();
    folders.push(folder);
    await mkdir(serverData(folder.path), { recursive: true, mode: 0o700 });
    await copyFile(
      path.join(serverData(first.folder.path), 'server-secret'),
      path.join(serverData(folder.path), 'server-secret'),
    );
    const config = 'jwt_secret_key: something-else-of-thirty-two-letters\n';
    const starting = startServerProcess(folder.path, { port: await freePort(), uri, config });
    await expect(starting).rejects.toThrow(/signs its tokens with another key/);
  });
});

describe('a replica that is killed under traffic', () => {
  const stored: number[] = [];
  const failed: string[] = [];

  it('loses no write that was acknowledged', async () => {
    const traffic = { isOver: false };
    const writer = async (): Promise<void> => {
      while (!traffic.isOver) {
        try {
          const { status, body } = await newTask(user, everybody());
          if (status === 201) stored.push(num(body.id));
          else failed.push(String(status));
        } catch (error) {
          failed.push(String(error));
        }
      }
    };
    const writers = Promise.all([writer(), writer(), writer()]);
    await until('writes', LIMIT_MS, () => stored.length > 20);
    await second.process.kill();
    const before = stored.length;
    await until('writes after the kill', LIMIT_MS, () => stored.length > before + 20);
    traffic.isOver = true;
    await writers;
    for (const id of stored) {
      const { status, body } = await root('GET', `/task/${id}`);
      expect([id, status]).toStrictEqual([id, 200]);
      expect(body.runs).toBeDefined();
    }
    // What the killed one had not answered failed at the balancer, which repeats nothing.
    expect(new Set(failed)).toStrictEqual(new Set(failed.length > 0 ? ['502'] : []));
    expect(failed.length).toBeLessThan(before);
  });

  it('loses no task: every node has all of them after it came back', async () => {
    for (const node of nodes)
      await until(`node ${node.id} knows all tasks`, LIMIT_MS, () => {
        const missing = stored.filter((id) => !node.tasks.has(id));
        if (missing.length > 0) throw new Error(`missing: ${missing.join(', ')}`);
        return true;
      });
  });

  it('leaves no node offline: all are at the other one', async () => {
    await until('the dead replica is forgotten', LIMIT_MS, async () => {
      const { rows } = await postgres.query('select id from replica', [], uri);
      return rows.length === 1;
    });
    expect(await onlineNodes(root)).toBe(NODES);
    expect(await nodesAt()).toStrictEqual([NODES]);
  });

  it('has its nodes marked offline when they do not come back', async () => {
    second.process = await startServerProcess(second.folder.path, { port: second.port, uri });
    const direct = startReplicaNode({
      port: second.port,
      id: nodes[0]?.id ?? 0,
      organization: 0,
      token: await login('/token/node', { api_key: await newKey(nodes[0]?.id ?? 0) }),
      transport: 'websocket',
    });
    nodes[0]?.close();
    await until(
      'the node is at the second one',
      LIMIT_MS,
      async () => (await nodesAt()).length === 2,
    );
    await second.process.kill();
    direct.close();
    await until('it is offline', LIMIT_MS, async () => (await onlineNodes(root)) === NODES - 1);
  });
});

async function newKey(node: number): Promise<string> {
  const { body } = await root('POST', '/recover/node', { id: node });
  return String(body.api_key);
}

describe('a database that goes away', () => {
  it('makes the server answer 503 with a code, and is used again by itself when it returns', async () => {
    const online = await onlineNodes(root);
    await postgres.stop('immediate');
    const answer = await until(
      '503',
      LIMIT_MS,
      () => root('GET', '/task'),
      ({ status }) => status === 503,
    );
    expect(answer.body.code).toBe('V6_DATABASE');
    expect(JSON.stringify(answer.body)).not.toContain(postgres.password);
    const written = await newTask(user, everybody());
    expect(written.status).toBe(503);
    await postgres.start();
    await until('it answers', LIMIT_MS, async () => (await root('GET', '/task')).status === 200);
    await until('all nodes are online', LIMIT_MS, async () => (await onlineNodes(root)) === online);
    const task = await made(newTask(user, everybody()));
    await until('nodes know a new task', LIMIT_MS, () =>
      nodes.slice(1).every((node) => node.tasks.has(task)),
    );
  });

  it('leaves no password in any log', () => {
    for (const { process } of [first, second])
      expect(process.output()).not.toContain(postgres.password);
  });
});
