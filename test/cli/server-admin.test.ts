import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ShownNode } from '../../src/server/admin/nodes.ts';
import type { ShownUser } from '../../src/server/admin/users.ts';
import { ServerCli } from '../support/server-cli.ts';

let home: string;
let cli: ServerCli;

// One database for the file: each command is a process of its own, and slow enough.
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-admin-'));
  cli = new ServerCli(home, 'trial');
  await mkdir(path.dirname(cli.configFile), { recursive: true });
  await writeFile(cli.configFile, 'uri: sqlite:///t.sqlite\n');
  await cli.json('organization create', ['North', '--country', 'NL']);
  await cli.json('organization create', ['South']);
}, 30_000);
afterAll(() => rm(home, { recursive: true, force: true }));

const mode = async (file: string): Promise<number> => (await stat(file)).mode & 0o777;
const password = 'Kites-over-9-lakes';

describe('v6 server organization and collaboration', { timeout: 60_000 }, () => {
  it('makes and lists them', async () => {
    await cli.json('collaboration create', ['Trial', '-o', 'North', '--no-encrypted']);
    expect(await cli.json('collaboration list')).toMatchObject({
      collaborations: [{ name: 'Trial', encrypted: false, organizations: ['North'] }],
    });
    expect(await cli.json('organization list')).toMatchObject({
      organizations: [
        { name: 'North', country: 'NL', hasPublicKey: false, collaborations: ['Trial'] },
        { name: 'South', collaborations: [] },
      ],
    });
  });

  it('refuses a name that is taken, and a member that does not exist', async () => {
    expect(await cli.failure('organization create', ['North'])).toMatchObject({
      status: 2,
      code: 'V6_REQUEST_CONFLICT',
    });
    const missing = await cli.failure('collaboration create', ['Other', '-o', 'West']);
    expect(missing).toMatchObject({ code: 'V6_REQUEST_NOT_FOUND' });
    expect(missing.hints.join()).toContain('North, South');
  });
});

describe('v6 server node', { timeout: 60_000 }, () => {
  it('makes a node, whose organization joins, and keeps its key in a file only', async () => {
    const args = ['--organization', 'South', '--collaboration', 'Trial'];
    const { node, keyFile } = await cli.json<{ node: ShownNode; keyFile: string }>(
      'node create',
      args,
    );
    expect(node).toMatchObject({ name: 'South - Trial Node', online: false });
    expect(await mode(keyFile)).toBe(0o600);
    const key = await cli.text(keyFile);
    expect(key).toMatch(/^[0-9a-f-]{36}\n$/);
    expect(await cli.failure('node create', args)).toMatchObject({ code: 'V6_REQUEST_CONFLICT' });
    expect(await cli.text(keyFile)).toBe(key);

    const elsewhere = path.join(home, 'key');
    await cli.json('node reset-key', ['South - Trial Node', '--key-file', elsewhere]);
    expect(await cli.text(elsewhere)).not.toBe(key);
    const { nodes } = await cli.json<{ nodes: ShownNode[] }>('node list');
    expect(nodes).toEqual([node]);
  });
});

describe('v6 server user', { timeout: 60_000 }, () => {
  it('makes a user with a password out of standard input, and never prints it', async () => {
    const args = ['ann', '-o', 'North', '--role', 'Researcher', '--email', 'ann@north.example'];
    const { stdout, stderr, status } = await cli.run(
      'user create',
      [...args, '--password-stdin'],
      `${password}\n`,
    );
    expect(status).toBe(0);
    expect(stdout + stderr).not.toContain(password);
    expect(await cli.failure('user create', [...args, '--generate-password'])).toMatchObject({
      code: 'V6_REQUEST_CONFLICT',
    });
  });

  it('names the flags of a password where it cannot ask, and the fault of a weak one', async () => {
    const args = ['ben', '-o', 'North', '--role', 'Viewer'];
    const missing = await cli.failure('user create', args);
    expect(missing).toMatchObject({ status: 2, code: 'V6_USAGE_MISSING_ANSWER' });
    expect(missing.message).toContain('--generate-password');
    const weak = await cli.run(
      'user create',
      [...args, '--password-stdin', '--json'],
      'password\n',
    );
    expect(weak.status).toBe(2);
    expect(weak.stdout).toContain('V6_REQUEST_INVALID');
    const unknown = await cli.failure('user create', [
      'ben',
      '-o',
      'North',
      '--role',
      'King',
      '--generate-password',
    ]);
    expect(unknown.hints.join()).toContain('Researcher');
    expect(
      await cli.failure('user create', [
        'b',
        '-o',
        'North',
        '--role',
        'Viewer',
        '--generate-password',
      ]),
    ).toMatchObject({
      code: 'V6_USAGE',
    });
  });

  it('takes a password that is the word "generate" for what it is: too short a one, not a request', async () => {
    const { stdout } = await cli.run(
      'user create',
      ['cas', '-o', 'North', '--role', 'Viewer', '--password-stdin', '--json'],
      'generate\n',
    );
    expect(stdout).not.toContain('password-cas');
  });

  it('resets a password into a 0600 file, and the second factor, and unlocks', async () => {
    const done = await cli.json<{ user: ShownUser; passwordFile: string }>('user reset-password', [
      'ann',
      '--generate-password',
    ]);
    expect(done.user).toMatchObject({
      username: 'ann',
      roles: ['Researcher'],
      organization: 'North',
    });
    expect(await mode(done.passwordFile)).toBe(0o600);
    expect((await cli.text(done.passwordFile)).trim().length).toBeGreaterThan(20);
    await cli.json('user unlock', ['ann', '--address', '192.0.2.7']);
    expect(await cli.failure('user reset-mfa', ['ann'])).toMatchObject({
      code: 'V6_USAGE_MISSING_ANSWER',
    });
    await cli.json('user reset-mfa', ['ann', '--yes']);
    expect(await cli.failure('user unlock', ['nobody'])).toMatchObject({
      code: 'V6_REQUEST_NOT_FOUND',
    });
  });

  it('lists and removes users', async () => {
    await cli.json('user create', [
      'dee',
      '-o',
      'South',
      '--role',
      'Viewer',
      '--generate-password',
    ]);
    const { users } = await cli.json<{ users: ShownUser[] }>('user list', ['-o', 'South']);
    expect(users.map(({ username }) => username)).toEqual(['dee']);
    expect(await cli.failure('user remove', ['dee'])).toMatchObject({
      code: 'V6_USAGE_MISSING_ANSWER',
    });
    await cli.json('user remove', ['dee', '--yes']);
    expect((await cli.run('user list')).stdout).not.toContain('dee');
  });
});
