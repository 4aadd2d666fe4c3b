import { randomBytes } from 'node:crypto';
import { access, mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import type { ServerFiles } from '../../server/interfaces/host.ts';

/** The real files of this machine. */
export const serverFiles: ServerFiles = {
  async readConfig(file) {
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      throw new V6Error('V6_CONFIG_NOT_FOUND', `${file} cannot be read: ${codeOf(error)}`, {
        cause: error,
        hints: [
          'Make one: v6 server new',
          'Name the file with --config, or the configuration with --name and --user or --system.',
        ],
        details: { file },
      });
    }
  },

  read: (file) => attempt('read', file, () => orWhenAbsent(readFile(file, 'utf8'), undefined)),
  write: (file, text) => attempt('write', file, () => writeWhole(file, text)),
  removeFile: (file) => attempt('remove', file, () => rm(file, { force: true })),
  removeFolder: (folder) =>
    attempt('remove', folder, () => rm(folder, { recursive: true, force: true })),
  list: (folder) => attempt('read', folder, () => orWhenAbsent(readdir(folder), [])),

  ensureFolder: (folder) =>
    attempt('make', folder, async () => {
      const outermost = await mkdir(folder, { recursive: true, mode: 0o700 });
      return outermost === undefined ? [] : chain(outermost, folder);
    }),

  async removeEmptyFolders(folders) {
    for (const folder of folders.toReversed()) await rmdir(folder).catch(() => undefined);
  },

  isThere: (at) =>
    access(at).then(
      () => true,
      () => false,
    ),

  async changedAt(file) {
    const state = await stat(file).catch(() => undefined);
    return state?.mtime;
  },
};

/** `/a`, `/a/b`, `/a/b/c` for `/a` and `/a/b/c`. */
function chain(outermost: string, innermost: string): readonly string[] {
  const below = path.relative(outermost, innermost).split(path.sep).filter(Boolean);
  return [outermost, ...below.map((_, at) => path.join(outermost, ...below.slice(0, at + 1)))];
}

async function writeWhole(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    // 'wx': never through a link that somebody put there.
    const handle = await open(draft, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

async function orWhenAbsent<T, E>(work: Promise<T>, absent: E): Promise<T | E> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return absent;
    throw error;
  }
}

async function attempt<T>(what: string, target: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new V6Error('V6_CONFIG_WRITE', `Cannot ${what} ${target}: ${codeOf(cause)}`, {
      cause,
      hints: [
        `Check who owns ${path.dirname(target)} and whether its disk is full.`,
        'Run the command as root, or use --user: its folders are yours.',
      ],
      details: { path: target },
    });
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown reason';
}
