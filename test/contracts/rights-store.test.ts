import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Kysely, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { initial } from '../../src/adapters/database/migrations/0001-initial.ts';
import { openStore } from '../../src/adapters/database/open.ts';
import { openSqlite } from '../../src/adapters/database/sqlite.ts';
import { RUN_STATUSES, type RunStatus, taskStatus } from '../../src/core/protocol/entities.ts';
import { FIXED_ROLES } from '../../src/server/auth/roles.ts';
import { RULES } from '../../src/server/auth/rules.ts';
import type { Store } from '../../src/server/interfaces/store.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { addOrganization } from '../support/server-app.ts';

const PAGE = { offset: 0, limit: 1000, sort: [] } as const;

let postgres: TestPostgres;
let folder: string;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.remove());
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'v6-rights-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const open = (uri: string): Promise<Store> =>
  openStore({ uri, dataDir: folder, roles: FIXED_ROLES });

describe.each([
  ['SQLite', async (): Promise<string> => 'sqlite:///data.sqlite'],
  ['PostgreSQL', (): Promise<string> => postgres.newDatabase()],
] as const)('rights and studies on %s', (_name, newUri) => {
  let uri: string;
  let store: Store;
  beforeEach(async () => {
    uri = await newUri();
    store = await open(uri);
  });
  afterEach(() => store.close());

  const ids = (found: { readonly rows: readonly { readonly id: number }[] }) =>
    found.rows.map(({ id }) => id);

  it('the rules and fixed roles are there from the first start on, with their ids', async () => {
    await store.close();
    store = await open(uri);
    expect((await store.rules.list({}, PAGE)).rows).toEqual(RULES);
    const roles = await store.users.roles();
    expect(roles.map(({ id, name }) => [id, name])).toStrictEqual(
      FIXED_ROLES.map(({ name }, at) => [at + 1, name]),
    );
    const isFixed = roles.every((role) => role.isDefault && role.organizationId === null);
    expect(isFixed).toBe(true);
    for (const [at, { rules }] of FIXED_ROLES.entries()) {
      const wanted = rules.map(({ id }) => id).toSorted((a, b) => a - b);
      expect(await store.rules.ofRoles([at + 1])).toStrictEqual(wanted);
    }
  });

  it('roles of organizations have names of their own, and rules', async () => {
    const north = await addOrganization(store, 'North');
    const south = await addOrganization(store, 'South');
    const make = (organizationId: number, rules: readonly number[]) =>
      store.transaction((tx) =>
        tx.roles.create({ name: 'Helper', description: 'helps', organizationId, rules }),
      );
    const first = await make(north, [1, 2, 2]);
    const second = await make(south, [3]);
    expect([first, second]).toStrictEqual([8, 9]);
    await expect(make(north, [])).rejects.toMatchObject({ code: 'V6_REQUEST_CONFLICT' });
    expect(await store.rules.ofRoles([first, second])).toStrictEqual([1, 2, 3]);
    expect(ids(await store.rules.list({ roleId: first }, PAGE))).toStrictEqual([1, 2]);
    await store.roles.update(first, { rules: [4], description: 'less' });
    expect(await store.rules.ofRoles([first])).toStrictEqual([4]);
    const list = (filter: Parameters<Store['roles']['list']>[0]) => store.roles.list(filter, PAGE);
    const scope = { ids: [], organizationIds: [north], serverWide: false };
    expect(ids(await list({ wanted: scope }))).toStrictEqual([first]);
    expect(ids(await list({ visible: { ...scope, serverWide: true } }))).toHaveLength(8);
    expect(ids(await list({ visible: { ...scope, ids: [second] } }))).toStrictEqual([
      first,
      second,
    ]);
    expect(ids(await list({ name: 'HELP%', ruleId: 3 }))).toStrictEqual([second]);
    await store.roles.remove(second);
    expect(await store.roles.find(second)).toBeUndefined();
    await store.organizations.remove(north);
    expect(await store.roles.find(first)).toBeUndefined();
  });

  it('users have roles and single rules, and are found by both', async () => {
    const organizationId = await addOrganization(store, 'North');
    const make = (username: string, roles: readonly number[], rules: readonly number[]) =>
      store.transaction((tx) =>
        tx.users.create({
          username,
          firstname: username,
          lastname: '',
          email: `${username}@example.org`,
          organizationId,
          passwordHash: 'x',
          roles,
          rules,
        }),
      );
    const nora = await make('nora', [5], []);
    const vera = await make('vera', [4], [33]);
    expect(await store.users.find(vera)).toMatchObject({ ruleIds: [33], roles: [{ id: 4 }] });
    expect(ids(await store.users.list({ ruleId: 33 }, PAGE))).toStrictEqual([nora, vera]);
    expect(ids(await store.users.list({ roleId: 4 }, PAGE))).toStrictEqual([vera]);
    expect(ids(await store.users.list({ firstname: 'NO%' }, PAGE))).toStrictEqual([nora]);
    const own = await store.rules.list({ userId: vera }, PAGE);
    expect(ids(own)).toStrictEqual(
      [...(await store.rules.ofRoles([4])), 33].toSorted((a, b) => a - b),
    );
    await store.users.update(vera, { rules: [] });
    expect(ids(await store.users.list({ ruleId: 33 }, PAGE))).toStrictEqual([nora]);
  });

  it('studies have members, and go with their collaboration', async () => {
    const north = await addOrganization(store, 'North');
    const south = await addOrganization(store, 'South');
    const collaborationId = await store.collaborations.create({ name: 'Trial', encrypted: false });
    await store.collaborations.setMembers(collaborationId, [north, south]);
    const study = await store.studies.create({ name: 'Pilot', collaborationId });
    await store.studies.setMembers(study, [north, south]);
    expect(await store.studies.members(study)).toStrictEqual([north, south]);
    const list = (filter: Parameters<Store['studies']['list']>[0]) =>
      store.studies.list(filter, PAGE);
    expect(ids(await list({ name: 'pil%', memberId: north }))).toStrictEqual([study]);
    expect(ids(await list({ collaborationIds: [] }))).toStrictEqual([]);
    await store.studies.removeMembers(collaborationId, [south]);
    expect(ids(await list({ organizationId: south }))).toStrictEqual([]);
    const inside = await store.organizations.list({ studyId: study }, PAGE);
    expect(ids(inside)).toStrictEqual([north]);
    const same = store.studies.create({ name: 'Pilot', collaborationId });
    await expect(same).rejects.toMatchObject({ code: 'V6_REQUEST_CONFLICT' });
    await store.collaborations.remove(collaborationId);
    expect(await store.studies.find(study)).toBeUndefined();
  });

  it('tasks are found by the status that they show, whatever their runs are', async () => {
    const organizations = [
      await addOrganization(store, 'North'),
      await addOrganization(store, 'South'),
    ];
    const collaborationId = await store.collaborations.create({ name: 'Trial', encrypted: false });
    const made = new Map<number, RunStatus>();
    const pairs = RUN_STATUSES.flatMap((one) => RUN_STATUSES.map((other) => [one, other] as const));
    for (const pair of [...pairs, []]) {
      const task = await store.tasks.create({
        name: '',
        description: '',
        image: 'echo',
        collaborationId,
        jobId: undefined,
        parentId: null,
        initOrganizationId: organizations[0] ?? 0,
        initUserId: null,
        createdAt: new Date('2030-01-01'),
        databases: [],
        runs: pair.map((_, at) => ({ organizationId: organizations[at] ?? 0, input: '' })),
      });
      const { rows } = await store.runs.list({ taskIds: [task] }, PAGE);
      for (const [at, run] of rows.entries()) await store.runs.update(run.id, { status: pair[at] });
      made.set(task, taskStatus(pair));
    }
    for (const status of RUN_STATUSES) {
      const wanted = [...made].filter(([, one]) => one === status).map(([task]) => task);
      const found = ids(await store.tasks.list({ status }, PAGE));
      expect([status, found.toSorted((a, b) => a - b)]).toStrictEqual([status, wanted]);
    }
  });
});

describe('a database of the first version', () => {
  it('keeps its users, with the roles that they had', async () => {
    const file = path.join(folder, 'data.sqlite');
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: openSqlite(file) }) });
    const provider = { getMigrations: async () => ({ '0001-initial': initial }) };
    await new Migrator({ db, provider }).migrateToLatest();
    for (const { name, description } of FIXED_ROLES)
      await db.insertInto('role').values({ name, description }).execute();
    await db.insertInto('organization').values({ name: 'North', public_key: '' }).execute();
    await db.insertInto('authenticatable').values({ type: 'user' }).execute();
    await db
      .insertInto('user')
      .values({
        id: 1,
        username: 'nora',
        firstname: '',
        lastname: '',
        email: 'n@example.org',
        organization_id: 1,
        password_hash: 'x',
      })
      .execute();
    await db.insertInto('user_role').values({ user_id: 1, role_id: 5 }).execute();
    await db.destroy();
    const store = await open('sqlite:///data.sqlite');
    const nora = await store.users.find(1);
    expect(nora?.roles).toMatchObject([{ id: 5, name: 'Researcher', isDefault: true }]);
    expect(await store.users.roles()).toHaveLength(7);
    const fields = { name: 'Own', description: '', organizationId: 1, rules: [] };
    expect(await store.transaction((tx) => tx.roles.create(fields))).toBe(8);
    await store.close();
  });
});

/** As they were. */
interface Tables {
  role: { name: string; description: string };
  organization: { name: string; public_key: string };
  authenticatable: { type: string };
  user: {
    id: number;
    username: string;
    firstname: string;
    lastname: string;
    email: string;
    organization_id: number;
    password_hash: string;
  };
  user_role: { user_id: number; role_id: number };
}
