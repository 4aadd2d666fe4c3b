import { StatementSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openStore } from '../../src/adapters/database/open.ts';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { FIXED_ROLES } from '../../src/server/auth/roles.ts';
import { cleanUp } from '../../src/server/services/cleanup.ts';
import { startPostgres } from '../support/postgres.ts';
import { containerOf, createTask, createWorld, runOf, type World } from '../support/server-app.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const DAY_MS = 24 * 3_600_000;

let world: World;
let folder: TempFolder;

beforeEach(async () => {
  folder = await tempFolder();
  world = await createWorld({ uri: `sqlite:///${folder.path}/server.sqlite` });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await world.close();
  await folder.remove();
});

it('`/health` answers 200 with `database: false`, so load balancers see a healthy server: ours answers 503', async () => {
  expect(await world.call('GET', '/health')).toMatchObject({
    status: 200,
    body: { database: true },
  });
  await world.store.close();
  const { status, body } = await world.call('GET', '/health');
  expect(status).toBe(503);
  expect(body).toMatchObject({ database: false, code: 'V6_DATABASE' });
});

describe('One query per address for the node, and an exception for all addresses when the node of one run was deleted', () => {
  /** How many statements SQLite was given for one request. */
  async function statementsFor(token: string): Promise<number> {
    const all = vi.spyOn(StatementSync.prototype, 'all');
    const answer = await world.call('GET', '/vpn/algorithm/addresses', { token });
    expect(answer.status).toBe(200);
    const count = all.mock.calls.length;
    all.mockRestore();
    return count;
  }

  async function start() {
    const task = await createTask(world);
    const south = await runOf(world, task, world.south);
    const { id } = world.southNode.node;
    await world.store.nodes.update(id, { isOnline: true, ip: '10.76.0.6' });
    await world.store.runs.update(south, { status: 'active', startedAt: world.clock.now() });
    const addPort = (port: number) =>
      world.store.ports.create({ runId: south, nodeId: id, port, protocol: 'tcp', label: null });
    return { token: await containerOf(world, world.northNode.token, task), addPort, id };
  }

  it('ours takes as many queries for two hundred addresses as for one', async () => {
    const { token, addPort } = await start();
    await addPort(49_152);
    const one = await statementsFor(token);
    for (let port = 49_153; port < 49_352; port += 1) await addPort(port);
    expect(await statementsFor(token)).toBe(one);
    const { body } = await world.call('GET', '/vpn/algorithm/addresses', { token });
    expect(body.addresses).toHaveLength(200);
  });

  it('ours leaves out what a deleted node had', async () => {
    const { token, addPort, id } = await start();
    await addPort(49_152);
    const { status } = await world.call('DELETE', `/node/${id}`, { token: world.root.token });
    expect(status).toBe(200);
    expect(await world.call('GET', '/vpn/algorithm/addresses', { token })).toMatchObject({
      status: 200,
      body: { addresses: [] },
    });
  });
});

describe('exporter port documented under `prometheus` but read top-level', () => {
  it('ours is read in both places, the documented one first', () => {
    const port = (text: string) =>
      parseServerConfig(`uri: sqlite:///a.sqlite\n${text}`, 'server.yaml').operation.metrics?.port;
    expect(port('prometheus: {enabled: true, exporter_port: 9100}')).toBe(9100);
    expect(port('prometheus: {enabled: true}\nprometheus_port: 9200')).toBe(9200);
    expect(port('prometheus: {enabled: true, exporter_port: 9100}\nprometheus_port: 9200')).toBe(
      9100,
    );
    expect(port('prometheus: {enabled: false}\nprometheus_port: 9200')).toBeUndefined();
  });
});

describe('Clean-up', () => {
  const settings = { days: 30, includesInput: false };

  async function start() {
    const task = await createTask(world);
    const ended = { finishedAt: world.clock.now(), result: 'cGFydA==' };
    const failed = await runOf(world, task, world.south);
    await world.store.runs.update(failed, { ...ended, status: 'failed' });
    await world.clock.turn(31 * DAY_MS);
    return failed;
  }

  it('blanks only `completed` runs, failed ones keep their data for ever: ours blanks both', async () => {
    const failed = await start();
    expect(await cleanUp({ ...world, settings })).toBe(1);
    expect(await world.store.runs.find(failed)).toMatchObject({ result: '', status: 'failed' });
  });

  it('and status workers run once per process and do not know of each other: replicas of ours do each round once', async () => {
    const postgres = await startPostgres();
    const uri = await postgres.newDatabase();
    const open = () => openStore({ uri, dataDir: folder.path, roles: FIXED_ROLES });
    const first = await createWorld({ uri });
    const second = await open();
    try {
      const run = await runOf(first, await createTask(first), first.south);
      const at = first.clock.now();
      await first.store.runs.update(run, { status: 'failed', finishedAt: at, result: 'cGFydA==' });
      await first.clock.turn(31 * DAY_MS);
      const rounds = await Promise.all([
        cleanUp({ ...first, settings }),
        cleanUp({ ...first, store: second, settings }),
      ]);
      // One of them did it, and the other knew.
      expect(rounds.toSorted()).toStrictEqual([1, undefined]);
      const { id } = first.northNode.node;
      const [a, b] = [
        { id: 'a', keyMark: '' },
        { id: 'b', keyMark: '' },
      ] as const;
      for (const replica of [a, b]) {
        await first.store.replicas.join(replica, { isAlone: false });
        await first.store.replicas.connect(replica, id, at);
      }
      // A node that is at both stays online when one of them says that it has gone.
      expect(await second.replicas.disconnect(a, id)).toBe(false);
      expect((await second.nodes.find(id))?.isOnline).toBe(true);
      expect(await second.replicas.disconnect(b, id)).toBe(true);
      expect((await second.nodes.find(id))?.isOnline).toBe(false);
    } finally {
      await second.close();
      await first.close();
      await postgres.remove();
    }
  });
});
