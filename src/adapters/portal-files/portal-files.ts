import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import type { PortalFiles } from '../../portal/interfaces/files.ts';

/** The portal's files on the local file system. */
export const portalFiles: PortalFiles = {
  read: (file) =>
    attempt('read', file, async () => {
      try {
        return await readFile(file, 'utf8');
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined;
        throw error;
      }
    }),

  write: (file, text) => attempt('write', file, () => writeWhole(file, text)),

  remove: (target) => attempt('remove', target, () => rm(target, { recursive: true, force: true })),

  removeIfEmpty: (folder) =>
    attempt('remove', folder, async () => {
      try {
        await rmdir(folder);
      } catch (error) {
        if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) throw error;
      }
    }),

  list: (folder) =>
    attempt('read', folder, async () => {
      try {
        return await readdir(folder);
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return [];
        throw error;
      }
    }),

  ensureFolder: (folder) =>
    attempt('make', folder, () => mkdir(folder, { recursive: true, mode: 0o700 })),
};

async function writeWhole(file: string, text: string): Promise<void> {
  const folder = path.dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = path.join(folder, `.${path.basename(file)}.${randomBytes(6).toString('hex')}`);
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** So that the new name survives a power cut (fsync(2)). */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function attempt<T>(what: string, target: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new V6Error(
      'V6_CONFIG_WRITE',
      `Cannot ${what} ${target}: ${codeOf(cause) ?? 'unknown reason'}`,
      { cause, hints: [`Check who owns ${path.dirname(target)} and whether its disk is full.`] },
    );
  }
}

function codeOf(error: unknown): string | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}
