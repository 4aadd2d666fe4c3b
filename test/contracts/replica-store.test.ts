import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openEventBus, openStore } from '../../src/adapters/database/open.ts';
import type { Store } from '../../src/server/interfaces/store.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { addOrganization, recordingLogger } from '../support/server-app.ts';
import { until } from '../support/wait.ts';

const A = { id: 'a', keyMark: 'key' };
const B = { id: 'b', keyMark: 'key' };
const AT = new Date('2030-01-01T00:00:00Z');
/** Long beside what a slow machine takes for a few queries: what beats in between is not silent. */
const SILENT_MS = 1000;

let postgres: TestPostgres;
let folder: string;
beforeAll(async () => {
  postgres = await startPostgres();
  folder = mkdtempSync(path.join(os.tmpdir(), 'v6-replicas-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await postgres?.remove();
});

async function newNode(store: Store): Promise<number> {
  const organizationId = await addOrganization(store, 'North');
  const collaborationId = await store.collaborations.create({ name: 'Trial', encrypted: false });
  const fields = { name: 'n', organizationId, collaborationId, apiKeyDigest: 'd', vpnId: 'v' };
  return store.nodes.create(fields);
}

describe.each([
  ['SQLite', async () => 'sqlite:///:memory:'],
  ['PostgreSQL', () => postgres.newDatabase()],
])('which replica has which node, on %s', (_name, newUri) => {
  let store: Store;
  let node: number;
  const isOnline = async (): Promise<boolean | undefined> =>
    (await store.nodes.find(node))?.isOnline;
  beforeEach(async () => {
    store = await openStore({ uri: await newUri(), dataDir: folder, roles: [] });
    node = await newNode(store);
    await store.replicas.join(A, { isAlone: false });
    await store.replicas.join(B, { isAlone: false });
  });
  afterEach(() => store.close());

  it('has a node online as long as one replica has it', async () => {
    expect(await store.replicas.connect(A, node, AT)).toBe(true);
    expect(await store.replicas.connect(B, node, AT)).toBe(false);
    expect(await store.replicas.connect(B, node, AT)).toBe(false);
    await store.nodes.update(node, { config: [{ key: 'a', value: 'b' }] });
    expect(await store.replicas.disconnect(A, node)).toBe(false);
    expect(await isOnline()).toBe(true);
    expect(await store.replicas.disconnect(B, node)).toBe(true);
    expect(await store.nodes.find(node)).toMatchObject({ isOnline: false, config: [] });
    expect(await store.replicas.disconnect(B, node)).toBe(false);
  });

  it('decides once when a node comes and goes at two replicas at the same time', async () => {
    for (let round = 0; round < 10; round += 1) {
      await store.replicas.connect(A, node, AT);
      const ended = await Promise.all([
        store.replicas.disconnect(A, node),
        store.replicas.connect(B, node, AT),
      ]);
      expect(await isOnline()).toBe(true);
      // Offline and online again, or never offline.
      expect(ended[0]).toBe(ended[1]);
      expect(await store.replicas.disconnect(B, node)).toBe(true);
    }
  });

  it('forgets a silent replica with its nodes, but not those that another one has', async () => {
    const other = await store.nodes.create({
      name: 'other',
      organizationId: await addOrganization(store, 'South'),
      collaborationId: 1,
      apiKeyDigest: 'e',
      vpnId: 'w',
    });
    for (const id of [node, other]) await store.replicas.connect(A, id, AT);
    await store.replicas.connect(B, node, AT);
    await setTimeout(SILENT_MS + 50);
    expect(await store.replicas.beat(B)).toBe(true);
    expect(await store.replicas.living(SILENT_MS)).toEqual([B]);
    expect(await store.replicas.forgetSilent(SILENT_MS)).toStrictEqual({
      replicas: 1,
      nodeIds: [other],
    });
    expect(await isOnline()).toBe(true);
    expect(await store.replicas.forgetSilent(10_000)).toStrictEqual({ replicas: 0, nodeIds: [] });
  });

  it('lets a replica that was given up come back with its nodes', async () => {
    await store.replicas.connect(A, node, AT);
    await setTimeout(20);
    await store.replicas.forgetSilent(1);
    expect(await store.replicas.beat(A)).toBe(false);
    expect(await store.replicas.connect(A, node, AT)).toBe(true);
    expect(await store.replicas.beat(A)).toBe(true);
    expect(await store.replicas.nodesOf(A)).toStrictEqual([node]);
  });

  it('takes one that is alone for the only one', async () => {
    await store.replicas.connect(A, node, AT);
    await store.replicas.join({ id: 'c', keyMark: 'key' }, { isAlone: true });
    expect(await isOnline()).toBe(false);
    expect(await store.replicas.living(10_000)).toEqual([{ id: 'c', keyMark: 'key' }]);
  });

  it('says nothing about a node that does not exist', async () => {
    expect(await store.replicas.connect(A, 999, AT)).toBe(false);
    expect(await store.replicas.disconnect(A, 999)).toBe(false);
  });
});

describe('the bus between replicas', () => {
  it('carries texts of any length in order, and not back to who sent them', async () => {
    const uri = await postgres.newDatabase();
    const [one, two] = await Promise.all([newBus(uri), newBus(uri)]);
    const texts = Array.from({ length: 200 }, (_, at) => `${at} ${'ä'.repeat((at % 10) * 900)}`);
    for (const text of texts) one.bus.send(text);
    await until('all texts', 10_000, () => two.heard.length === texts.length);
    expect(two.heard).toStrictEqual(texts);
    expect(one.heard).toStrictEqual([]);
    expect(two.state.missed).toBe(0);
    await Promise.all([one.bus.close(), two.bus.close()]);
  });

  it('connects again after the database was away, and says that something may have got lost', async () => {
    const uri = await postgres.newDatabase();
    const [one, two] = await Promise.all([newBus(uri), newBus(uri)]);
    await postgres.stop('immediate');
    one.bus.send('lost');
    await postgres.start();
    await until('both have noticed', 20_000, () => one.state.missed > 0 && two.state.missed > 0);
    one.bus.send('after');
    await until('it is heard', 10_000, () => two.heard.includes('after'));
    expect(two.heard).toStrictEqual(['after']);
    await Promise.all([one.bus.close(), two.bus.close()]);
  });

  it('is not needed, and not there, for a database in a file', async () => {
    expect(await openEventBus('sqlite:///x.sqlite', recordingLogger().logger)).toBeUndefined();
  });
});

async function newBus(uri: string) {
  const bus = await openEventBus(uri, recordingLogger().logger);
  if (bus === undefined) throw new Error('no bus');
  const heard: string[] = [];
  const state = { missed: 0 };
  bus.receive({
    // Texts are JSON to the bus: here quoted, so that they may hold anything.
    hear: (text) => heard.push(JSON.parse(text) as string),
    missed: () => {
      state.missed += 1;
    },
  });
  await bus.open();
  const send = (text: string): void => bus.send(JSON.stringify(text));
  return { bus: { ...bus, send, close: () => bus.close() }, heard, state };
}
