import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ImportReport } from '../../src/server/admin/import-report.ts';
import { UPSTREAM_FILE } from '../support/import-world.ts';
import { ServerCli } from '../support/server-cli.ts';

let home: string;
let cli: ServerCli;
let file: string;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-import-'));
  cli = new ServerCli(home, 'trial');
  file = path.join(home, 'entities.yaml');
  await mkdir(path.dirname(cli.configFile), { recursive: true });
  await configure('False');
});
afterEach(() => rm(home, { recursive: true, force: true }));

/** As upstream's wizard writes it: text. */
const configure = (allowDropAll: string): Promise<void> =>
  writeFile(cli.configFile, `uri: sqlite:///t.sqlite\nallow_drop_all: '${allowDropAll}'\n`);

const importing = (text: string, ...flags: readonly string[]) =>
  writeFile(file, text).then(() => cli.json<ImportReport>('import', [file, ...flags]));

describe('v6 server import', { timeout: 60_000 }, () => {
  it('imports into a database that no server has opened yet, and the second time changes nothing', async () => {
    const dry = await importing(UPSTREAM_FILE, '--dry-run');
    expect(dry).toMatchObject({ dryRun: true, created: 8 });
    const first = await importing(UPSTREAM_FILE);
    expect(first).toMatchObject({ dryRun: false, created: 8, updated: 0, dropped: null });
    const second = await importing(UPSTREAM_FILE);
    expect(second).toMatchObject({ created: 0, updated: 0, secretsFile: null });
  });

  it('tells a human what changed, warns on stderr, and prints no secret', async () => {
    await writeFile(file, UPSTREAM_FILE);
    const { status, stdout, stderr } = await cli.run('import', [file]);
    expect(status).toBe(0);
    expect(stdout).toContain('8 created, 0 updated, 0 unchanged');
    expect(stderr).toContain('Warning: ');
    expect(stdout + stderr).not.toContain('Plain-text-1');
  });

  it('writes generated keys to a file that only its owner can read, and nowhere else', async () => {
    const text =
      'organizations: [{ name: North }]\ncollaborations: [{ name: T, participants: [{ name: North }] }]\n';
    const report = await importing(text);
    const secrets = report.secretsFile ?? '';
    expect((await stat(secrets)).mode & 0o777).toBe(0o600);
    const key = /api_key: "([0-9a-f-]{36})"/.exec(await cli.text(secrets))?.[1] ?? 'none';
    expect(JSON.stringify(report)).not.toContain(key);
    const elsewhere = path.join(home, 'mine.yaml');
    const other = await importing(
      text.replaceAll('name: T', 'name: U'),
      '--secrets-file',
      elsewhere,
    );
    expect(other.secretsFile).toBe(elsewhere);
  });

  it('ends with 78 and every line that is wrong, and leaves no file behind', async () => {
    await writeFile(file, 'organizations: [{ nam: North }]\n');
    const failed = await cli.failure('import', [file]);
    expect(failed).toMatchObject({ status: 78, code: 'V6_IMPORT_INVALID' });
    expect(failed.message).toContain('entities.yaml: line 1: nam is not known here');
    expect((await readdir(cli.dataDir)).filter((name) => name.startsWith('import-'))).toEqual([]);
    await writeFile(file, 'organizations: [\n');
    expect(await cli.failure('import', [file])).toMatchObject({ code: 'V6_CONFIG_SYNTAX' });
    expect(await cli.failure('import', [`${file}.missing`])).toMatchObject({
      code: 'V6_IMPORT_INVALID',
    });
  });

  it("the wizard stores allow_drop_all: 'False' as text, which is true — here it means no", async () => {
    await importing(UPSTREAM_FILE);
    expect(await cli.failure('import', [file, '--drop-all', '--yes'])).toMatchObject({
      status: 78,
      code: 'V6_IMPORT_NOT_ALLOWED',
    });
    await configure('True');
    expect(await cli.failure('import', [file, '--drop-all'])).toMatchObject({
      status: 2,
      code: 'V6_USAGE_MISSING_ANSWER',
    });
    const report = await importing(UPSTREAM_FILE, '--drop-all', '--yes');
    expect(report).toMatchObject({ created: 8, dropped: { organizations: 2, users: 1, tasks: 1 } });
  });

  it('takes a password out of a file beside the imported one', async () => {
    await writeFile(path.join(home, 'ann.txt'), 'Kites-over-9-lakes\n');
    const report = await importing(
      'organizations: [{ name: North, users: [{ username: ann, password_file: ann.txt, roles: [Viewer] }] }]\n',
    );
    expect(report).toMatchObject({ created: 2, warnings: [], secretsFile: null });
  });
});
