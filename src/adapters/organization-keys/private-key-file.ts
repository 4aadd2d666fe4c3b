import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, link, mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { type PrivateKey, parsePrivateKey } from '../../core/crypto/keys.ts';
import { V6Error } from '../../core/errors.ts';

/** A key of 16384 bits has 13 kB. */
const MAX_BYTES = 64 * 1024;
/** What others may not do with the file: anything; its group: write. */
const FORBIDDEN_BITS = 0o027;

/**
 * Reads an organization's private key. Throws V6_ENCRYPTION_KEY_FILE when it is absent, no plain file, open to others, too large
 * or no RSA key.
 */
export async function readPrivateKeyFile(file: string): Promise<PrivateKey> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch(
    (error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? absent(file, error) : unreadable(file, error);
    },
  );
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw problem(file, 'is not a plain file', 'Name the file of the key.');
    if ((stats.mode & FORBIDDEN_BITS) !== 0) {
      const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
      throw problem(file, `is open to others (mode ${mode})`, `Close it: chmod 600 ${file}`);
    }
    if (stats.size > MAX_BYTES)
      throw problem(file, `has ${stats.size} bytes: that is no key`, 'Name the file of the key.');
    return parsePrivateKey(await handle.readFile('latin1'), file);
  } finally {
    await handle.close();
  }
}

/** What became of a file that was to be written. */
export interface WrittenKeyFile {
  /** Where the key that was there before lies now. */
  readonly backup: string | null;
}

/**
 * Writes a private key, 0600. An existing file stays as it is (V6_ENCRYPTION_KEY_FILE) unless `overwrite`; then it is kept as
 * `<file>.<date>.bak`. The file appears as a whole or not at all. Throws V6_CONFIG_WRITE.
 */
export async function writePrivateKeyFile(
  file: string,
  pem: string,
  options: { readonly overwrite: boolean; readonly now: Date },
): Promise<WrittenKeyFile> {
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    const handle = await open(draft, 'wx', 0o600);
    try {
      await handle.writeFile(pem, 'latin1');
      await handle.sync();
    } finally {
      await handle.close();
    }
    await chmod(draft, 0o600);
    const backup = options.overwrite ? await keepOld(file, options.now) : null;
    if (backup === null) {
      // Unlike a rename, a link never replaces a key.
      await link(draft, file);
      await rm(draft);
    } else await rename(draft, file);
    return { backup };
  } catch (error) {
    await rm(draft, { force: true }).catch(() => undefined);
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw problem(file, 'is there already', 'Keep it, or replace it with --overwrite.');
    throw new V6Error('V6_CONFIG_WRITE', `Cannot write ${file}: ${codeOf(error)}`, {
      cause: error,
      hints: ['Check the owner of the folder, or choose another one with --output-dir.'],
      details: { file },
    });
  }
}

/** Null when there was no file. */
async function keepOld(file: string, now: Date): Promise<string | null> {
  const backup = `${file}.${now.toISOString().replaceAll(/[-:]|\.\d+/g, '')}.bak`;
  try {
    await copyFile(file, backup, constants.COPYFILE_EXCL);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  await chmod(backup, 0o600);
  return backup;
}

function absent(file: string, cause: unknown): V6Error {
  return new V6Error('V6_ENCRYPTION_KEY_FILE', `There is no private key ${file}`, {
    cause,
    hints: [
      'Copy the private key of the organization there, and chmod 600 it.',
      'If the organization has none yet: v6 node create-private-key',
    ],
    details: { file },
  });
}

function unreadable(file: string, cause: NodeJS.ErrnoException): V6Error {
  return new V6Error('V6_ENCRYPTION_KEY_FILE', `Cannot read ${file}: ${codeOf(cause)}`, {
    cause,
    hints: ['Run the command as the owner of the file.'],
    details: { file },
  });
}

function problem(file: string, fault: string, hint: string): V6Error {
  return new V6Error('V6_ENCRYPTION_KEY_FILE', `${file} ${fault}`, {
    hints: [hint],
    details: { file },
  });
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown reason';
}
