import { cp, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = path.join(import.meta.dirname, '../..');

interface Manifest {
  readonly commands: Readonly<
    Record<
      string,
      {
        readonly flags: Readonly<Record<string, { readonly description?: string }>>;
        readonly enableJsonFlag: boolean;
        readonly summary?: string;
      }
    >
  >;
}

const committed = async (file: string): Promise<string> =>
  (await execa('git', ['show', `:${file}`], { cwd: root })).stdout;

describe('the surface of the command line', () => {
  let copy: string;

  beforeAll(async () => {
    copy = await mkdtemp(path.join(tmpdir(), 'v6-surface-'));
    for (const name of [
      'package.json',
      'README.md',
      'tsconfig.json',
      'dist/commands',
      'dist/cli',
      'oclif.manifest.json',
      'docs',
    ])
      await cp(path.join(root, name), path.join(copy, name), { recursive: true });
    await symlink(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));
  });

  afterAll(async () => {
    await rm(copy, { recursive: true, force: true });
  });

  it('is what the committed manifest says', async () => {
    const built = JSON.parse(
      await readFile(path.join(root, 'oclif.manifest.json'), 'utf8'),
    ) as Manifest;
    expect(JSON.parse(await committed('oclif.manifest.json'))).toEqual(built);
  });

  it('is what the command reference says', async () => {
    await execa(
      path.join(root, 'node_modules/.bin/oclif'),
      ['readme', '--multi', '--output-dir', 'docs/commands', '--no-source-links'],
      { cwd: copy },
    );
    const files = (await readdir(path.join(copy, 'docs/commands'))).map(
      (name) => `docs/commands/${name}`,
    );
    for (const file of ['README.md', ...files])
      expect(await readFile(path.join(copy, file), 'utf8'), `${file}: run npm run readme`).toBe(
        await readFile(path.join(root, file), 'utf8'),
      );
  });

  it('has --json on every command, and a description on every flag', async () => {
    const { commands } = JSON.parse(
      await readFile(path.join(root, 'oclif.manifest.json'), 'utf8'),
    ) as Manifest;
    for (const [id, command] of Object.entries(commands)) {
      expect(command.enableJsonFlag, id).toBe(true);
      expect(command.summary, id).toBeTruthy();
      for (const [name, flag] of Object.entries(command.flags))
        expect(flag.description, `${id} --${name}`).toBeTruthy();
    }
  });
});
