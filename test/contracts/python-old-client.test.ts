import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OLD_CLIENTS } from '../../scripts/python-peers.mjs';
import { isRecord } from '../../src/core/protocol/json.ts';
import { TestCoordination, type TestNode } from '../support/coordination.ts';
import { pythonPeers, runPython } from '../support/python-venv.ts';
import { type Caller, caller } from '../support/server-process.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

// The container clients of Python 3.x, as old algorithm images have them inside, at our server.

const IMAGE = 'registry.example/old:1';
/** What `pickle.dumps({"mean": 42})` gives in its oldest form, which is text. */
const PICKLED = Buffer.from('(dp0\nVmean\np1\nI42\ns.').toString('base64');

let folder: TempFolder;
let world: TestCoordination;
let nodes: readonly TestNode[];
let calls: readonly Caller[];

beforeAll(async () => {
  folder = await tempFolder();
  world = await TestCoordination.start(folder.path);
  nodes = await world.createNodes(['north', 'south']);
  calls = await Promise.all(nodes.map(logIn));
});
afterAll(async () => {
  await world?.server.stop();
  await folder?.remove();
});

async function logIn({ id, apiKey }: TestNode): Promise<Caller> {
  const url = world.server.url;
  const { body } = await caller(url)('POST', '/token/node', { api_key: apiKey });
  const call = caller(url, String(body.access_token));
  await call('PATCH', `/node/${id}`, { ip: `10.76.0.${id}` });
  return call;
}

/** A task whose runs at both nodes are active and have a port; returns it with the token of the first run's container. */
async function activeTask(firstPort: number): Promise<{ task: number; token: string }> {
  const { task, runs } = await world.createTask(
    IMAGE,
    nodes.map(({ organization }) => organization),
  );
  let token = '';
  for (const [index, call] of calls.entries()) {
    const run = runs[index] ?? 0;
    await call('PATCH', `/run/${run}`, { started_at: new Date() });
    const answer = await call('POST', '/token/container', { task_id: task, image: IMAGE });
    if (index === 0) token = String(answer.body.container_token);
    await call('POST', '/port', { port: firstPort + index, run_id: run, label: 'com' });
    await call('PATCH', `/run/${run}`, { status: 'active' });
  }
  return { task, token };
}

async function ask(version: string, question: object): Promise<Readonly<Record<string, unknown>>> {
  const packages = path.join(path.dirname(await pythonPeers()), '../old', version);
  const common = { path: packages, host: 'http://127.0.0.1', port: world.port };
  const answer = await runPython('container3.py', {
    input: JSON.stringify({ ...common, ...question }),
  });
  if (isRecord(answer)) return answer;
  throw new Error(`not an answer: ${JSON.stringify(answer)}`);
}

describe.each(OLD_CLIENTS)('the container client %s', (version) => {
  it('finds addresses and organizations, creates a sub-task and reads its results', async () => {
    const [north, south] = nodes;
    const port = 49_152 + 2 * OLD_CLIENTS.indexOf(version);
    const { task, token } = await activeTask(port);
    const said = await ask(version, { token, task, create: [north?.organization] });
    const addresses = [
      { ip: `10.76.0.${north?.id}`, port, label: 'com' },
      { ip: `10.76.0.${south?.id}`, port: port + 1, label: 'com' },
    ];
    expect(said).toMatchObject({
      image: IMAGE,
      addresses: expect.arrayContaining(addresses),
      labelled: expect.stringMatching(/^10\.76\.0\.\d+:4915\d$/),
      missing: null,
      organizations: expect.arrayContaining([expect.objectContaining({ id: south?.organization })]),
      task,
    });
    expect(said.addresses).toHaveLength(2);
    const child = said.created as { id: number; parent: { id: number } };
    expect(child.parent).toMatchObject({ id: task });

    const [call] = calls;
    const open = await call?.('GET', `/run?state=open&node_id=${north?.id}&task_id=${child.id}`);
    const [run] = (open?.body.data ?? []) as { id: number }[];
    const end = { status: 'completed', result: PICKLED, log: '', finished_at: new Date() };
    await call?.('PATCH', `/run/${run?.id}`, { started_at: new Date() });
    await call?.('PATCH', `/run/${run?.id}`, end);
    expect(await ask(version, { token, task, finished: child.id })).toMatchObject({
      results: [{ mean: 42 }],
    });
  });
});
