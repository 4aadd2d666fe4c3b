import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseYaml } from '../../../../src/core/config/yaml.ts';
import { apiKeyDigest } from '../../../../src/server/auth/api-keys.ts';
import { hashPassword, verifyPassword } from '../../../../src/server/auth/passwords.ts';
import {
  API_KEY_DIGEST_KEY,
  contentOf,
  createImportWorld,
  type ImportWorld,
  NORTH_KEY,
  UPSTREAM_FILE,
} from '../../../support/import-world.ts';

let world: ImportWorld;

beforeEach(async () => {
  world = await createImportWorld();
});
afterEach(() => world.close());

const isRight = async (username: string, password: string): Promise<boolean> =>
  verifyPassword(password, (await world.store.users.findLogin(username))?.passwordHash ?? '');

describe('an import', () => {
  it('shows with a dry run what it would do, and does nothing', async () => {
    const before = await contentOf(world.store);
    const report = await world.importText(UPSTREAM_FILE, { dryRun: true });
    expect(report).toMatchObject({ dryRun: true, created: 8, secretsFile: null });
    expect(await contentOf(world.store)).toEqual(before);
    expect(world.files.size).toBe(0);
  });

  it('makes keys and passwords that the file leaves out, and writes them to a file only', async () => {
    const report = await world.importText(
      'organizations:\n  - name: North\n    users: [{ username: ann }]\ncollaborations: [{ name: T, participants: [{ name: North }] }]\n',
    );
    const text = world.files.get(report.secretsFile ?? '') ?? '';
    const made = parseYaml(text, 'secrets') as {
      nodes: { collaboration: string; organization: string; api_key: string }[];
      users: { username: string; password: string }[];
    };
    const [node] = made.nodes;
    expect(node).toMatchObject({ collaboration: 'T', organization: 'North' });
    const digest = apiKeyDigest(API_KEY_DIGEST_KEY, node?.api_key ?? '');
    expect(await world.store.nodes.findByKeyDigest(digest)).toMatchObject({
      name: 'North - T Node',
    });
    expect(await isRight('ann', made.users[0]?.password ?? '')).toBe(true);
    expect(JSON.stringify(report)).not.toContain(node?.api_key);
    expect(JSON.stringify(report)).not.toContain(made.users[0]?.password);
  });

  it('takes passwords as hashes, and out of files', async () => {
    const hash = await hashPassword('Right-pass-1');
    world.files.set('ben.txt', 'Right-pass-2');
    const { warnings } = await world.importText(
      `organizations:\n  - name: North\n    users:\n      - { username: ann, password_hash: "${hash}", roles: [Viewer] }\n      - { username: ben, password_file: ben.txt, roles: [Researcher] }\n`,
    );
    expect(warnings).toEqual([]);
    expect(await isRight('ann', 'Right-pass-1')).toBe(true);
    expect(await isRight('ben', 'Right-pass-2')).toBe(true);
    const { users } = await contentOf(world.store);
    expect(users.map(({ roles }) => roles.map(({ name }) => name))).toEqual([
      ['Viewer'],
      ['Researcher'],
    ]);
  });

  it('keeps passwords that users have, unless it is told to set them', async () => {
    await world.importText(UPSTREAM_FILE);
    const changed = UPSTREAM_FILE.replace('Plain-text-1', 'Plain-text-2');
    const kept = await world.importText(changed);
    expect(kept.updated).toBe(0);
    expect(kept.warnings.join()).toContain('--reset-passwords');
    expect(await isRight('ann', 'Plain-text-1')).toBe(true);
    const before = (await world.store.users.findLogin('ann'))?.user.tokenGeneration ?? 0;
    const reset = await world.importText(changed, { resetPasswords: true });
    expect(reset.items.find(({ kind }) => kind === 'user')).toMatchObject({
      changes: ['password'],
    });
    expect(await isRight('ann', 'Plain-text-2')).toBe(true);
    expect((await world.store.users.findLogin('ann'))?.user.tokenGeneration).toBe(before + 1);
    expect((await world.importText(changed, { resetPasswords: true })).updated).toBe(0);
  });

  it('sets a key that the file changed, and ends the tokens of the old one', async () => {
    await world.importText(UPSTREAM_FILE);
    const [before] = (await contentOf(world.store)).nodes;
    const report = await world.importText(
      UPSTREAM_FILE.replace(NORTH_KEY, NORTH_KEY.replace('1', '2')),
    );
    expect(report.items.filter(({ state }) => state === 'updated')).toEqual([
      { kind: 'node', name: 'North - Trial Node', state: 'updated', changes: ['api_key'] },
    ]);
    const [after] = (await contentOf(world.store)).nodes;
    expect(after).toMatchObject({
      id: before?.id,
      tokenGeneration: (before?.tokenGeneration ?? 0) + 1,
    });
  });

  it('never takes a member away, and never gives a right back that was taken', async () => {
    await world.importText(UPSTREAM_FILE);
    const viewer = (await world.store.users.roles()).find(({ name }) => name === 'Viewer');
    const ann = await world.store.users.findLogin('ann');
    await world.store.users.update(ann?.user.id ?? 0, { roles: [viewer?.id ?? 0] });
    const only = UPSTREAM_FILE.replace(/ {6}- name: South\n.*\n/, '').replace(/ {4}tasks.*\n/, '');
    expect(await world.importText(only)).toMatchObject({ created: 0, updated: 0 });
    const { members, users } = await contentOf(world.store);
    expect(members).toEqual([[1, 2]]);
    expect(users[0]?.roles.map(({ name }) => name)).toEqual(['Viewer']);
  });

  it('names every problem of a file at once, in the order of lines', async () => {
    const failed = world.importText(
      [
        'organizations:',
        '  - name: North',
        '    adress1: Quay 1',
        '    users:',
        '      - { username: "1", email: nobody }',
        '      - { username: ann, password: "Plain-text-1", password_file: x }',
        '      - { username: ann }',
        '  - name: North',
        'collaborations:',
        '  - name: T',
        '    encrypted: perhaps',
        '    participants: North',
      ].join('\n'),
    );
    await expect(failed).rejects.toMatchObject({
      code: 'V6_IMPORT_INVALID',
      details: {
        problems: [
          { line: 3, problem: expect.stringContaining('adress1 is not known') as string },
          { line: 5, problem: expect.stringContaining('username') as string },
          { line: 5, problem: expect.stringContaining('email') as string },
          { line: 6, problem: expect.stringContaining('cannot stand beside') as string },
          { line: 7, problem: 'user "ann" stands in line 6 already' },
          { line: 8, problem: 'organization "North" stands in line 2 already' },
          { line: 11, problem: expect.stringContaining('true or false') as string },
          { line: 12, problem: 'participants must be a list' },
        ],
      },
    });
  });

  it('refuses what the database has otherwise', async () => {
    await world.importText(UPSTREAM_FILE);
    const failed = world.importText(
      [
        'organizations:',
        '  - name: South',
        '    users:',
        '      - { username: ann }',
        '      - { username: ben, email: ann@north.example, roles: [Nonsense] }',
        'collaborations:',
        '  - { name: Secret, participants: [{ name: South }], tasks: [hello] }',
      ].join('\n'),
    );
    await expect(failed).rejects.toMatchObject({
      details: {
        problems: [
          { line: 4, problem: expect.stringContaining('another organization') as string },
          { line: 5, problem: expect.stringContaining('"Nonsense"') as string },
          { line: 5, problem: expect.stringContaining('that of user ann') as string },
          { line: 7, problem: expect.stringContaining('encrypted collaboration') as string },
        ],
      },
    });
  });

  it('checks a password out of a file as well', async () => {
    world.files.set('weak.txt', 'weak');
    await expect(
      world.importText(
        'organizations: [{ name: N, users: [{ username: ann, password_file: weak.txt }] }]\n',
      ),
    ).rejects.toMatchObject({ code: 'V6_IMPORT_INVALID' });
    expect((await contentOf(world.store)).users).toEqual([]);
  });
});
