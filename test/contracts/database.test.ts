import { mkdtempSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openStore, sqliteFile } from '../../src/adapters/database/open.ts';
import { isV6Error } from '../../src/core/errors.ts';
import type { Store } from '../../src/server/interfaces/store.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { addOrganization } from '../support/server-app.ts';

const PAGE = { offset: 0, limit: 100, sort: [] } as const;
const roles = [{ name: 'Root', description: 'all' }];

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.remove());

let folder: string;
const file = (): string => path.join(folder, 'data.sqlite');
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'v6-database-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const open = (uri: string): Promise<Store> => openStore({ uri, dataDir: folder, roles });

const count = async (tx: Store): Promise<number> => (await tx.organizations.list({}, PAGE)).total;

/** An organization with a node in a collaboration, and a task with one run. */
async function fill(store: Store) {
  const organizationId = await addOrganization(store, 'North');
  const collaborationId = await store.collaborations.create({ name: 'Trial', encrypted: true });
  await store.collaborations.setMembers(collaborationId, [organizationId]);
  const nodeId = await store.nodes.create({
    name: 'north',
    organizationId,
    collaborationId,
    apiKeyDigest: 'digest',
    vpnId: 'vpn',
  });
  const taskId = await newTask(store, { organizationId, collaborationId });
  const { rows } = await store.runs.list({ taskIds: [taskId] }, PAGE);
  return { organizationId, collaborationId, nodeId, taskId, runId: rows[0]?.id ?? 0 };
}

function newTask(
  store: Store,
  { organizationId, collaborationId }: { organizationId: number; collaborationId: number },
  parentId: number | null = null,
): Promise<number> {
  return store.tasks.create({
    name: '',
    description: '',
    image: 'echo:1',
    collaborationId,
    jobId: undefined,
    parentId,
    initOrganizationId: organizationId,
    initUserId: null,
    createdAt: new Date('2030-01-01T00:00:00Z'),
    databases: [{ label: 'default', parameters: '{}' }],
    runs: [{ organizationId, input: 'aQ==' }],
  });
}

const DATABASES: readonly (readonly [string, () => Promise<string>])[] = [
  ['SQLite in memory', async () => 'sqlite:///:memory:'],
  ['SQLite in a file', async () => 'sqlite:///data.sqlite'],
  ['PostgreSQL', () => postgres.newDatabase()],
];

describe.each(DATABASES)('the store on %s', (_name, newUri) => {
  let store: Store;
  let uri: string;
  beforeEach(async () => {
    uri = await newUri();
    store = await open(uri);
  });
  afterEach(() => store.close());

  it('gives back what was stored, with its types', async () => {
    const { nodeId, taskId, runId, organizationId } = await fill(store);
    expect(await store.nodes.find(nodeId)).toMatchObject({
      isOnline: false,
      lastSeenAt: null,
      config: [],
    });
    expect(await store.tasks.find(taskId)).toMatchObject({
      status: 'pending',
      createdAt: new Date('2030-01-01T00:00:00Z'),
      databases: [{ label: 'default', parameters: '{}' }],
    });
    expect(await store.runs.find(runId)).toMatchObject({
      organizationId,
      finishedAt: null,
      node: { id: nodeId, isOnline: false },
    });
    expect(await store.runs.find(999)).toBeUndefined();
    expect(await store.collaborations.list({ encrypted: true }, PAGE)).toMatchObject({ total: 1 });
  });

  it('keeps all of a transaction or nothing', async () => {
    const failure = store.transaction(async (tx) => {
      await addOrganization(tx, 'South');
      throw new Error('stop');
    });
    await expect(failure).rejects.toThrow('stop');
    expect((await store.organizations.list({}, PAGE)).total).toBe(0);
  });

  it('lets transactions follow one another', async () => {
    await Promise.all(
      Array.from({ length: 10 }, () =>
        store.transaction(async (tx) => addOrganization(tx, `o${await count(tx)}`)),
      ),
    );
    expect(await count(store)).toBe(10);
  });

  it.each<[string, (store: Store, ids: Awaited<ReturnType<typeof fill>>) => Promise<unknown>]>([
    ['a second organization of a name', (s) => addOrganization(s, 'North')],
    [
      'a second node of an organization in a collaboration',
      (s, ids) => s.nodes.create({ ...ids, name: 'x', apiKeyDigest: 'x', vpnId: 'x' }),
    ],
    [
      'a port of a node that is taken',
      async (s, { runId, nodeId }) => {
        const port = { runId, nodeId, port: 49_152, protocol: 'tcp', label: null } as const;
        await s.ports.create({ ...port, protocol: 'udp' });
        await s.ports.create(port);
        await s.ports.create(port);
      },
    ],
    [
      'a member that does not exist',
      (s, { collaborationId }) => s.collaborations.setMembers(collaborationId, [99]),
    ],
  ])('refuses %s', async (_what, act) => {
    const ids = await fill(store);
    await expect(act(store, ids)).rejects.toMatchObject({ code: 'V6_REQUEST_CONFLICT' });
  });

  it('names the columns of what exists already, and never a value', async () => {
    await addOrganization(store, 'North');
    const error = await addOrganization(store, 'North').catch((thrown: unknown) => thrown);
    expect(isV6Error(error) && error.message).toBe('This exists already (organization.name)');
  });

  it('finds texts whatever their case, and takes a backslash for a backslash', async () => {
    await addOrganization(store, 'North');
    await addOrganization(store, 'a\\b');
    const names = async (name: string) =>
      (await store.organizations.list({ name }, PAGE)).rows.map((row) => row.name);
    expect(await names('nORTH')).toStrictEqual(['North']);
    expect(await names('%OR%')).toStrictEqual(['North']);
    expect(await names('a\\b')).toStrictEqual(['a\\b']);
    expect(await names('North\\')).toStrictEqual([]);
  });

  it('sorts what is unknown first', async () => {
    const ids = await fill(store);
    const second = await newTask(store, ids);
    const run = await store.runs.findOfTask(second, ids.organizationId);
    await store.runs.update(run?.id ?? 0, { finishedAt: new Date('2030-01-02T00:00:00Z') });
    const ends = async (descending: boolean) => {
      const sort = [{ column: 'finished_at', descending }];
      const { rows } = await store.runs.list({}, { ...PAGE, sort });
      return rows.map((row) => row.finishedAt?.toISOString().slice(0, 10) ?? null);
    };
    expect(await ends(false)).toStrictEqual([null, '2030-01-02']);
    expect(await ends(true)).toStrictEqual(['2030-01-02', null]);
  });

  it('runs transactions as if one followed the other, also those that only read what others write', async () => {
    const { runId } = await fill(store);
    const add = (letter: string): Promise<void> =>
      store.transaction(async (tx) => {
        const run = await tx.runs.find(runId);
        await tx.runs.update(runId, { log: `${run?.log ?? ''}${letter}` });
      });
    const letters = Array.from({ length: 20 }, (_, at) => String.fromCharCode(97 + at));
    await Promise.all(letters.map(add));
    const log = (await store.runs.find(runId))?.log ?? '';
    expect(log.split('').toSorted().join('')).toBe(letters.join(''));
  });

  it('lets one of several do what only one may', async () => {
    const made = await Promise.allSettled(
      Array.from({ length: 8 }, (_, at) =>
        store.transaction(async (tx) => {
          if ((await count(tx)) > 0) throw new Error('too late');
          await addOrganization(tx, `only ${at}`);
        }),
      ),
    );
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await count(store)).toBe(1);
  });

  it('does work of one name one after the other, and frees the name after a failure', async () => {
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setTimeout(resolve, 20));
      inside -= 1;
    };
    await expect(
      store.exclusively('a', async () => {
        throw new Error('stop');
      }),
    ).rejects.toThrow('stop');
    await Promise.all(Array.from({ length: 4 }, () => store.exclusively('a', work)));
    expect(most).toBe(1);
    const both = Promise.withResolvers<void>();
    const meet = async (): Promise<void> => {
      inside += 1;
      if (inside === 2) both.resolve();
      await both.promise;
    };
    // Each waits for the other: one after the other they would never end.
    await Promise.all(['b', 'c'].map((name) => store.exclusively(name, meet)));
    expect(inside).toBe(2);
  });

  it('keeps its data over a restart, and migrates once', async () => {
    if (uri.endsWith(':memory:')) return;
    const { taskId } = await fill(store);
    await store.close();
    store = await open(uri);
    expect(await store.tasks.find(taskId)).toMatchObject({ id: taskId });
    expect(await store.users.roles()).toHaveLength(1);
  });

  it('never gives an id twice, of tasks and of jobs', async () => {
    const ids = await fill(store);
    await store.tasks.remove(ids.taskId);
    const next = await store.tasks.find(await newTask(store, ids));
    expect(next?.id).toBeGreaterThan(ids.taskId);
    expect(next?.jobId).toBe(2);
  });

  it('removes with a record all that hangs on it', async () => {
    const ids = await fill(store);
    const child = await newTask(store, ids, ids.taskId);
    const grandchild = await newTask(store, ids, child);
    expect(await store.tasks.family(ids.taskId)).toStrictEqual([ids.taskId, child, grandchild]);
    await store.vpnGrants.save({
      nodeId: ids.nodeId,
      current: 'x',
      previous: null,
      profile: null,
      issuedAt: new Date('2030-01-01T00:00:00Z'),
      expiresAt: null,
    });
    expect(await store.vpnGrants.list()).toStrictEqual([
      {
        nodeId: ids.nodeId,
        current: 'x',
        previous: null,
        profile: null,
        issuedAt: new Date('2030-01-01T00:00:00Z'),
        expiresAt: null,
        revokedAt: null,
      },
    ]);
    await store.tasks.remove(ids.taskId);
    expect((await store.runs.list({}, PAGE)).total).toBe(0);
    await store.nodes.remove(ids.nodeId);
    expect(await store.vpnGrants.find(ids.nodeId)).toBeUndefined();
    await store.organizations.remove(ids.organizationId);
    expect(await store.organizations.find(ids.organizationId)).toBeUndefined();
  });

  it('finds addresses with one query that goes over indexes', async () => {
    const { runId, nodeId, taskId, organizationId } = await fill(store);
    await store.ports.create({ runId, nodeId, port: 49_152, protocol: 'udp', label: 'com' });
    const query = {
      runId,
      taskId,
      organizationId,
      label: undefined,
      tasks: { own: true, children: true, parentId: undefined },
      organizations: 'all',
    } as const;
    expect(JSON.parse(await store.ports.addresses(query))).toMatchObject([
      { port: 49_152, protocol: 'udp', ip: null },
    ]);
    expect(JSON.parse(await store.ports.addresses({ ...query, runId: 999 }))).toStrictEqual([]);
    await store.runs.update(runId, { status: 'active' });
    await store.nodes.update(nodeId, { isOnline: true, ip: '10.76.0.5' });
    expect(JSON.parse(await store.ports.addresses({ ...query, runId: 999 }))).toHaveLength(1);
  });

  it('refuses to sort by what is no column of the list', async () => {
    const sort = [{ column: 'api_key_digest', descending: false }];
    await expect(store.nodes.list({}, { ...PAGE, sort })).rejects.toMatchObject({
      code: 'V6_REQUEST_INVALID',
    });
  });

  it('says when it cannot be asked', async () => {
    await store.close();
    await expect(store.check()).rejects.toMatchObject({ code: 'V6_DATABASE' });
  });
});

describe('a PostgreSQL database', () => {
  it('is migrated by one replica when several start at once', async () => {
    const uri = await postgres.newDatabase();
    const stores = await Promise.all([open(uri), open(uri), open(uri)]);
    expect(await stores[2]?.users.roles()).toHaveLength(1);
    await Promise.all(stores.map((store) => store.close()));
  });

  it('of a newer version is left alone', async () => {
    const uri = await postgres.newDatabase();
    await (await open(uri)).close();
    await postgres.query(`insert into kysely_migration values ('9999-future', '2040')`, [], uri);
    await expect(open(uri)).rejects.toMatchObject({ code: 'V6_DATABASE' });
  });

  it('is found as SQLAlchemy spells it', async () => {
    const uri = await postgres.newDatabase();
    for (const scheme of ['postgres', 'postgresql+psycopg2', 'postgresql+asyncpg'])
      await (await open(uri.replace('postgresql', scheme))).close();
  });

  it.each([
    ['a wrong password', (uri: string) => uri.replace(postgres.password, 'other-secret')],
    ['an unknown database', (uri: string) => uri.replace(/test_\d+$/, 'nothing')],
    ['a port where nobody listens', (uri: string) => uri.replace(`:${postgres.port}/`, ':1/')],
  ])('with %s is refused with a next step and without the password', async (_what, wrong) => {
    const uri = wrong(await postgres.newDatabase());
    const opening = openStore({ uri, dataDir: folder, roles, waitMs: 200 });
    const error = await opening.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!isV6Error(error)) throw new Error('no error of ours');
    expect(error.code).toBe('V6_DATABASE');
    expect(error.hints[0]).toMatch(/^(Check|Create)/);
    const said = `${error.message}${error.hints.join()}${JSON.stringify(error.details)}`;
    expect(said).not.toMatch(/other-secret/);
    expect(said).not.toContain(postgres.password);
  });

  it('that is away fails what is asked, and serves again by itself when it returns', async () => {
    const store = await open(await postgres.newDatabase());
    const { taskId } = await fill(store);
    await postgres.stop('immediate');
    await expect(store.tasks.find(taskId)).rejects.toMatchObject({ code: 'V6_DATABASE' });
    await expect(store.transaction((tx) => tx.tasks.find(taskId))).rejects.toMatchObject({
      code: 'V6_DATABASE',
    });
    await postgres.start();
    expect(await store.tasks.find(taskId)).toMatchObject({ id: taskId });
    await store.close();
  });

  it('that comes while the server starts is waited for', async () => {
    const uri = await postgres.newDatabase();
    await postgres.stop('immediate');
    const opening = open(uri);
    await postgres.start();
    await (await opening).close();
  });
});

describe('the database file', () => {
  it('is for its owner only, and flushes every commit', async () => {
    const store = await open('sqlite:///data.sqlite');
    await fill(store);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(statSync(`${file()}-wal`).mode & 0o777).toBe(0o600);
    await store.close();
  });

  it('of a newer version is left alone', async () => {
    await (await open('sqlite:///data.sqlite')).close();
    const db = new DatabaseSync(file());
    db.exec(`insert into kysely_migration values ('9999-future', '2040-01-01')`);
    db.close();
    await expect(open('sqlite:///data.sqlite')).rejects.toMatchObject({ code: 'V6_DATABASE' });
  });

  it('that cannot be opened is named', async () => {
    await expect(open('sqlite:///no/such/folder/x.sqlite')).rejects.toMatchObject({
      code: 'V6_DATABASE',
      message: expect.stringContaining('no/such/folder'),
    });
  });

  it('is found as SQLAlchemy spells it', () => {
    expect(sqliteFile('sqlite:///x.sqlite', '/data')).toBe('/data/x.sqlite');
    expect(sqliteFile('sqlite:////abs/x.sqlite', '/data')).toBe('/abs/x.sqlite');
    expect(() => sqliteFile('mysql://u:p@h/db', '/data')).toThrow(/neither SQLite nor PostgreSQL/);
  });
});
