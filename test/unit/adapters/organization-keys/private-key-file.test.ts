import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  readPrivateKeyFile,
  writePrivateKeyFile,
} from '../../../../src/adapters/organization-keys/private-key-file.ts';
import { fingerprintOf, keyPair } from '../../../fakes/key-pairs.ts';
import { type TempFolder, tempFolder } from '../../../support/temp-folder.ts';

const now = new Date('2030-01-02T03:04:05.678Z');
let temp: TempFolder;
let file: string;
beforeEach(async () => {
  temp = await tempFolder();
  file = path.join(temp.path, 'folder/key.pem');
});
afterEach(() => temp.remove());

it('writes a key that only its owner reads, and reads it again', async () => {
  expect(await writePrivateKeyFile(file, keyPair('a').pem, { overwrite: false, now })).toEqual({
    backup: null,
  });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await readPrivateKeyFile(file)).publicKey.fingerprint).toBe(fingerprintOf('a'));
});

it('never replaces a key unless told to, and then keeps the old one', async () => {
  await writePrivateKeyFile(file, keyPair('a').pem, { overwrite: false, now });
  await expect(
    writePrivateKeyFile(file, keyPair('b').pem, { overwrite: false, now }),
  ).rejects.toMatchObject({ code: 'V6_ENCRYPTION_KEY_FILE' });
  expect(await readFile(file, 'utf8')).toBe(keyPair('a').pem);
  const { backup } = await writePrivateKeyFile(file, keyPair('b').pem, { overwrite: true, now });
  expect(backup).toBe(`${file}.20300102T030405Z.bak`);
  expect(await readFile(backup ?? '', 'utf8')).toBe(keyPair('a').pem);
  expect((await stat(backup ?? '')).mode & 0o777).toBe(0o600);
  expect(await readFile(file, 'utf8')).toBe(keyPair('b').pem);
  expect((await readdir(path.dirname(file))).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

it('says what is wrong with a file: absent, a folder, open to others, too large, no key', async () => {
  const failure = (message: RegExp) =>
    expect.objectContaining({
      code: 'V6_ENCRYPTION_KEY_FILE',
      message: expect.stringMatching(message),
    });
  await expect(readPrivateKeyFile(file)).rejects.toEqual(failure(/There is no private key/));
  await mkdir(path.dirname(file));
  await expect(readPrivateKeyFile(path.dirname(file))).rejects.toEqual(failure(/plain file/));
  await writeFile(file, keyPair('a').pem, { mode: 0o600 });
  for (const mode of [0o644, 0o604, 0o660]) {
    await chmod(file, mode);
    await expect(readPrivateKeyFile(file)).rejects.toEqual(failure(/open to others \(mode 0/));
  }
  for (const mode of [0o600, 0o400, 0o640]) {
    await chmod(file, mode);
    await readPrivateKeyFile(file);
  }
  await chmod(file, 0o600);
  await writeFile(file, 'x'.repeat(70_000));
  await expect(readPrivateKeyFile(file)).rejects.toEqual(failure(/70000 bytes/));
  await writeFile(file, 'hello');
  await expect(readPrivateKeyFile(file)).rejects.toEqual(failure(/not a private key/));
});
