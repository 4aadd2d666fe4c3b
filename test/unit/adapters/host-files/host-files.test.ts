import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hostFiles } from '../../../../src/adapters/host-files/host-files.ts';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'v6-host-files-'));
});

afterEach(() => rm(root, { recursive: true, force: true }));

describe('hostFiles', () => {
  it('reads a configuration, and names its neighbours when it is absent', async () => {
    await writeFile(path.join(root, 'beta.yaml'), 'a: 1');
    await writeFile(path.join(root, 'notes.txt'), '');
    expect(await hostFiles.readConfig(path.join(root, 'beta.yaml'))).toBe('a: 1');
    await expect(hostFiles.readConfig(path.join(root, 'alpha.yaml'))).rejects.toMatchObject({
      code: 'V6_CONFIG_NOT_FOUND',
      details: { others: ['beta'] },
    });
    await expect(hostFiles.readConfig(root)).rejects.toMatchObject({ code: 'V6_CONFIG_NOT_FOUND' });
  });

  it('says which folders it made, and takes back the empty ones', async () => {
    const deep = path.join(root, 'a', 'b', 'c');
    const made = await hostFiles.ensureFolder(deep);
    expect(made).toEqual([path.join(root, 'a'), path.join(root, 'a', 'b'), deep]);
    expect((await stat(deep)).mode & 0o007).toBe(0);
    expect(await hostFiles.ensureFolder(deep)).toEqual([]);
    await writeFile(path.join(root, 'a', 'file'), '');
    await hostFiles.removeEmptyFolders(made);
    expect(await hostFiles.isThere(path.join(root, 'a', 'b'))).toBe(false);
    expect(await hostFiles.isThere(path.join(root, 'a', 'file'))).toBe(true);
    await hostFiles.removeFolder(path.join(root, 'a'));
    await hostFiles.removeFolder(path.join(root, 'a'));
    expect(await hostFiles.isThere(path.join(root, 'a'))).toBe(false);
  });

  it('says with a code where it may not make a folder', async () => {
    await writeFile(path.join(root, 'file'), '');
    await expect(hostFiles.ensureFolder(path.join(root, 'file', 'below'))).rejects.toMatchObject({
      code: 'V6_CONFIG_WRITE',
    });
  });
});
