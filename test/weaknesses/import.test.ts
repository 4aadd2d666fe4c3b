import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openStore } from '../../src/adapters/database/open.ts';
import { verifyPassword } from '../../src/server/auth/passwords.ts';
import { FIXED_ROLES } from '../../src/server/auth/roles.ts';
import {
  contentOf,
  createImportWorld,
  type ImportWorld,
  NORTH_KEY,
  UPSTREAM_FILE,
} from '../support/import-world.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

let world: ImportWorld;
let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.remove());

const databases = {
  SQLite: async (): Promise<string> => 'sqlite:///:memory:',
  PostgreSQL: (): Promise<string> => postgres.newDatabase(),
} as const;

/** The weaknesses of the Python server's import, and the rules that its documentation has. */
describe.each(Object.entries(databases))('v6 server import on %s', (_, uri) => {
  beforeEach(async () => {
    world = await createImportWorld(
      await openStore({ uri: await uri(), dataDir: '/', roles: FIXED_ROLES }),
    );
  });
  afterEach(() => world.close());

  it('reads the file of upstream as it is', async () => {
    const report = await world.importText(UPSTREAM_FILE);
    expect(report).toMatchObject({ created: 8, updated: 0, unchanged: 0, secretsFile: null });
    const content = await contentOf(world.store);
    expect(content.organizations.map(({ name, zipcode }) => [name, zipcode])).toEqual([
      ['North', '0101'],
      ['South', null],
    ]);
    expect(content.collaborations).toMatchObject([{ name: 'Trial', encrypted: false }]);
    expect(content.nodes.map(({ name, isOnline }) => [name, isOnline])).toEqual([
      ['North - Trial Node', false],
      ['South - Trial Node', false],
    ]);
    expect(content.users).toMatchObject([{ username: 'ann', roles: [{ name: 'super' }] }]);
    expect(content.tasks).toMatchObject([{ image: 'hello-world', status: 'pending' }]);
  });

  it('Import: not atomic — a mistake in the last line changes nothing', async () => {
    await world.importText(UPSTREAM_FILE);
    const before = await contentOf(world.store);
    const text = `organizations:\n  - name: East\ncollaborations:\n  - name: Other\n    participants:\n      - name: West\n`;
    await expect(world.importText(text)).rejects.toMatchObject({
      code: 'V6_IMPORT_INVALID',
      message: expect.stringContaining('line 6: ') as string,
    });
    expect(await contentOf(world.store)).toEqual(before);
    expect(world.files.size).toBe(0);
  });

  it('Import: not atomic — a database that fails half-way takes everything back, and the generated keys too', async () => {
    const { store } = world;
    const broken = {
      ...store,
      transaction: <T>(work: (tx: typeof store) => Promise<T>) =>
        store.transaction((tx) =>
          work({
            ...tx,
            tasks: { ...tx.tasks, create: () => Promise.reject(new Error('disk full')) },
          }),
        ),
    };
    const other = await createImportWorld(broken);
    const before = await contentOf(store);
    const text =
      'organizations: [{ name: North, users: [{ username: ann }] }]\ncollaborations: [{ name: T, encrypted: false, participants: [{ name: North }], tasks: [hello] }]\n';
    await expect(other.importText(text)).rejects.toThrow('disk full');
    expect(await contentOf(store)).toEqual(before);
    expect(other.files.size).toBe(0);
  });

  it('Import: not repeatable — the second time changes nothing', async () => {
    await world.importText(UPSTREAM_FILE);
    const before = await contentOf(world.store);
    const again = await world.importText(UPSTREAM_FILE);
    expect(again).toMatchObject({ created: 0, updated: 0 });
    expect(again.unchanged).toBe(again.items.length);
    expect(await contentOf(world.store)).toEqual(before);
  });

  it('Import: plain-text passwords without policy — the rule holds, and a plain text is warned of', async () => {
    const bad = UPSTREAM_FILE.replace('Plain-text-1', 'short');
    await expect(world.importText(bad)).rejects.toMatchObject({
      code: 'V6_IMPORT_INVALID',
      message: expect.stringMatching(/line 10: password does not follow the rule/) as string,
    });
    await expect(world.importText(bad)).rejects.not.toThrow(/"short"/);
    const { warnings } = await world.importText(UPSTREAM_FILE);
    expect(warnings.join('\n')).toMatch(/passwords in plain text \(ann\)/);
    const login = await world.store.users.findLogin('ann');
    expect(login?.passwordHash).toMatch(/^\$argon2id\$/);
    expect(await verifyPassword('Plain-text-1', login?.passwordHash ?? '')).toBe(true);
  });

  it('Import: --drop-all leaves an empty database without tables — it is refused unless allowed, and imports again', async () => {
    await world.importText(UPSTREAM_FILE);
    const before = await contentOf(world.store);
    await expect(world.importText(UPSTREAM_FILE, { dropAll: true })).rejects.toMatchObject({
      code: 'V6_IMPORT_NOT_ALLOWED',
    });
    expect(await contentOf(world.store)).toEqual(before);
    const report = await world.importText('organizations: [{ name: East }]\n', {
      dropAll: true,
      mayDropAll: true,
    });
    expect(report.dropped).toEqual({
      organizations: 2,
      users: 1,
      collaborations: 1,
      nodes: 2,
      tasks: 1,
    });
    const after = await contentOf(world.store);
    expect(after.organizations.map(({ name }) => name)).toEqual(['East']);
    expect([after.users, after.nodes, after.tasks, after.collaborations]).toEqual([[], [], [], []]);
    // Upstream uses ids again after this, so that old tokens fit new records.
    expect(after.organizations[0]?.id).toBeGreaterThan(2);
  });

  it('an unknown participant is one error with its line', async () => {
    const text = UPSTREAM_FILE.replace(
      'name: South\n        api_key',
      'name: Nowhere\n        api_key',
    );
    await expect(world.importText(text)).rejects.toMatchObject({
      details: {
        problems: [{ line: 23, problem: expect.stringContaining('"Nowhere"') as string }],
      },
    });
  });

  it('a repeated API key is one error with both lines, without the key', async () => {
    const text = UPSTREAM_FILE.replace('426614174002', '426614174001');
    const failed = await world.importText(text).catch((error: unknown) => error as Error);
    expect(failed).toMatchObject({ code: 'V6_IMPORT_INVALID' });
    expect((failed as Error).message).toContain('line 23: api_key is that of line 22');
    expect(JSON.stringify(failed)).not.toContain(NORTH_KEY);
  });

  it('an API key of another node of the server is refused', async () => {
    await world.importText(UPSTREAM_FILE);
    const text = `collaborations:\n  - name: Other\n    participants:\n      - { name: South, api_key: ${NORTH_KEY} }\n`;
    await expect(world.importText(text)).rejects.toMatchObject({
      message: expect.stringContaining(
        'line 4: api_key is that of the node "North - Trial Node"',
      ) as string,
    });
  });

  it('an API key that is no UUID does not end the program half-way', async () => {
    const text = UPSTREAM_FILE.replace(NORTH_KEY, 'not-a-uuid');
    await expect(world.importText(text)).rejects.toMatchObject({
      message: expect.stringContaining('line 22: api_key must be a UUID') as string,
    });
  });

  it('a UUID in capitals is the same key', async () => {
    await world.importText(UPSTREAM_FILE.replace(NORTH_KEY, NORTH_KEY.toUpperCase()));
    const { unchanged, items } = await world.importText(UPSTREAM_FILE);
    expect(unchanged).toBe(items.length);
  });

  it('an organization that exists is no IntegrityError but an update of what differs', async () => {
    await world.importText(UPSTREAM_FILE);
    const report = await world.importText(
      'organizations:\n  - name: North\n    country: BE\n    users:\n      - { username: ann, lastname: Li }\n',
    );
    expect(report.items).toEqual([
      { kind: 'organization', name: 'North', state: 'updated', changes: ['country'] },
      { kind: 'user', name: 'ann', state: 'updated', changes: ['lastname'] },
    ]);
    const [north] = (await contentOf(world.store)).organizations;
    expect(north).toMatchObject({ country: 'BE', domain: 'north.example', zipcode: '0101' });
  });

  it('missing keys of an organization are no KeyError', async () => {
    expect(await world.importText('organizations: [{ name: North }]\n')).toMatchObject({
      created: 1,
    });
  });

  it('an example task without any user is refused with a sentence', async () => {
    const text =
      'organizations: [{ name: North }]\ncollaborations: [{ name: T, encrypted: false, participants: [{ name: North }], tasks: [hello] }]\n';
    const before = await contentOf(world.store);
    await expect(world.importText(text)).rejects.toMatchObject({ code: 'V6_IMPORT_INVALID' });
    expect(await contentOf(world.store)).toEqual(before);
    expect(world.files.size).toBe(0);
  });
});
