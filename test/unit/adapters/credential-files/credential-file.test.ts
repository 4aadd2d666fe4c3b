import { mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CredentialFile } from '../../../../src/adapters/credential-files/credential-file.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'v6-credential-'));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

describe('CredentialFile', () => {
  it('finds nothing before the first save, and nothing after a removal', async () => {
    const store = new CredentialFile(folder);
    expect(await store.find()).toBeUndefined();
    await store.remove();
    await store.save('one');
    await store.remove();
    expect(await store.find()).toBeUndefined();
  });

  it("writes upstream's file name, for the owner only, and leaves no draft", async () => {
    const store = new CredentialFile(folder);
    await store.save('one');
    await store.save('two');
    expect(await store.find()).toBe('two');
    expect(await readdir(path.join(folder, 'vpn'))).toEqual(['vpn-config.ovpn.conf']);
    expect((await stat(store.file)).mode & 0o777).toBe(0o600);
    expect((await stat(path.dirname(store.file))).mode & 0o777).toBe(0o700);
  });

  it('replaces a link instead of writing through it', async () => {
    const store = new CredentialFile(folder);
    await store.save('one');
    const target = path.join(folder, 'target');
    await writeFile(target, 'mine');
    await rm(store.file);
    await symlink(target, store.file);
    await store.save('two');
    expect(await store.find()).toBe('two');
    expect((await stat(target)).size).toBe(4);
  });

  it('says with a code what it cannot write', async () => {
    await writeFile(path.join(folder, 'vpn'), 'a file where a folder belongs');
    const store = new CredentialFile(folder);
    await expect(store.save('one')).rejects.toMatchObject({ code: 'V6_CONFIG_WRITE' });
    await expect(store.find()).rejects.toMatchObject({ code: 'V6_VPN_CONFIG_INVALID' });
  });
});
