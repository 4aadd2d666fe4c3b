import { access, mkdir, readdir, readFile, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import type { HostFiles } from '../../node/interfaces/host-files.ts';

/** The real files of this machine. */
export const hostFiles: HostFiles = {
  async readConfig(file) {
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      throw await unreadable(file, error as NodeJS.ErrnoException);
    }
  },

  async ensureFolder(folder) {
    try {
      const outermost = await mkdir(folder, { recursive: true, mode: 0o750 });
      return outermost === undefined ? [] : chain(outermost, folder);
    } catch (error) {
      throw new V6Error('V6_CONFIG_WRITE', `Cannot make the folder ${folder}: ${codeOf(error)}`, {
        cause: error,
        hints: ['Run the command as root, or use --user: its folders are yours.'],
        details: { folder },
      });
    }
  },

  async removeEmptyFolders(folders) {
    for (const folder of folders.toReversed()) await rmdir(folder).catch(() => undefined);
  },

  removeFolder: (folder) => rm(folder, { recursive: true, force: true }),

  removeFile: (file) => rm(file, { force: true }),

  isThere: (at) =>
    access(at).then(
      () => true,
      () => false,
    ),
};

/** `/a`, `/a/b`, `/a/b/c` for `/a` and `/a/b/c`. */
function chain(outermost: string, innermost: string): readonly string[] {
  const below = path.relative(outermost, innermost).split(path.sep).filter(Boolean);
  return [outermost, ...below.map((_, at) => path.join(outermost, ...below.slice(0, at + 1)))];
}

async function unreadable(file: string, error: NodeJS.ErrnoException): Promise<V6Error> {
  if (error.code !== 'ENOENT') {
    return new V6Error('V6_CONFIG_NOT_FOUND', `Cannot read ${file}: ${codeOf(error)}`, {
      cause: error,
      hints: ['Run the command as the owner of the file, or as root.'],
      details: { file },
    });
  }
  const folder = path.dirname(file);
  const others = (await readdir(folder).catch(() => []))
    .filter((name) => /\.ya?ml$/.test(name))
    .map((name) => name.replace(/\.ya?ml$/, ''))
    .toSorted();
  return new V6Error('V6_CONFIG_NOT_FOUND', `There is no configuration file ${file}`, {
    cause: error,
    hints: [
      ...(others.length > 0
        ? [`In ${folder} there are: ${others.join(', ')} (choose with --name)`]
        : []),
      'Name the file with --config, or the folder with --user or --system.',
    ],
    details: { file, others },
  });
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown reason';
}
