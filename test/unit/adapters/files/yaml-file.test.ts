import {
  chmod,
  lstat,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createYamlFile } from '../../../../src/adapters/files/yaml-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'v6-yaml-file-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a configuration file on disk', () => {
  it('gives back bytes as they are: byte order mark, CRLF', async () => {
    const file = path.join(folder, 'a.yaml');
    const bytes = Buffer.from('\uFEFFa: é\r\n', 'utf8');
    await writeFile(file, bytes);
    const config = createYamlFile(file);
    const read = await config.read();
    await config.replace(read, `${read.text}b: 1\r\n`);
    expect(await readFile(file)).toEqual(Buffer.concat([bytes, Buffer.from('b: 1\r\n')]));
  });

  it('keeps the mode, the link, and what was there', async () => {
    const file = path.join(folder, 'a.yaml');
    const link = path.join(folder, 'link.yaml');
    await writeFile(file, 'a: 1\n');
    await chmod(file, 0o640);
    await symlink(file, link);
    const config = createYamlFile(link);
    const { backup } = await config.replace(await config.read(), 'a: 2\n');
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect(await readFile(file, 'utf8')).toBe('a: 2\n');
    expect(await readFile(backup, 'utf8')).toBe('a: 1\n');
    for (const name of [file, backup]) expect((await stat(name)).mode & 0o777).toBe(0o640);
    expect((await readdir(folder)).toSorted()).toEqual(['a.yaml', 'a.yaml.bak', 'link.yaml']);
  });

  it('does not overwrite what somebody else wrote meanwhile', async () => {
    const file = path.join(folder, 'a.yaml');
    await writeFile(file, 'a: 1\n');
    const config = createYamlFile(file);
    const read = await config.read();
    await writeFile(file, 'a: theirs\n');
    await expect(config.replace(read, 'a: 2\n')).rejects.toMatchObject({ code: 'V6_CONFIG_WRITE' });
    expect(await readFile(file, 'utf8')).toBe('a: theirs\n');
    expect(await readdir(folder)).toEqual(['a.yaml']);
  });

  it('tells a missing file from one whose bytes it could not keep', async () => {
    const file = path.join(folder, 'a.yaml');
    await expect(createYamlFile(file).read()).rejects.toMatchObject({
      code: 'V6_CONFIG_NOT_FOUND',
    });
    await writeFile(file, Buffer.from([0x61, 0x3a, 0x20, 0xe9, 0x0a]));
    await expect(createYamlFile(file).read()).rejects.toMatchObject({ code: 'V6_CONFIG_SYNTAX' });
  });
});
