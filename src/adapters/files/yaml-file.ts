import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import type { ConfigFile, ConfigText } from '../../wizard/interfaces/config-file.ts';

/** A configuration file on disk. A link to it stays a link; the previous text is kept as `<file>.bak`. */
export function createYamlFile(file: string): ConfigFile {
  return {
    file,
    async read() {
      const bytes = await readBytes(file);
      const { mode } = await stat(file);
      try {
        // ignoreBOM keeps a byte order mark in the text, so that it is written back.
        const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
        return { text, mode: mode & 0o7777 };
      } catch (error) {
        throw new V6Error('V6_CONFIG_SYNTAX', `${file} is not UTF-8 text`, {
          cause: error,
          hints: [`Convert it: iconv -t UTF-8 ${file}`],
          details: { file },
        });
      }
    },
    replace: (read, text) => replace(file, read, text),
  };
}

async function readBytes(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const code = codeOf(error);
    throw new V6Error('V6_CONFIG_NOT_FOUND', `Cannot read the configuration ${file}: ${code}`, {
      cause: error,
      hints:
        code === 'ENOENT'
          ? [
              'Name it with --name, or give its path with --config; --user looks in the folders of this user.',
            ]
          : [`Check its permissions: ls -l ${file}`],
      details: { file, reason: code },
    });
  }
}

async function replace(
  file: string,
  read: ConfigText,
  text: string,
): Promise<{ readonly backup: string }> {
  const target = await realpath(file);
  const backup = `${target}.bak`;
  const draft = `${target}.${process.pid}.tmp`;
  try {
    if (!Buffer.from(read.text, 'utf8').equals(await readFile(target))) {
      throw new V6Error('V6_CONFIG_WRITE', `${file} was changed by somebody else meanwhile`, {
        hints: ['Run the command again: nothing was written.'],
        details: { file },
      });
    }
    const { mode, uid, gid } = await stat(target);
    const like = { mode: mode & 0o7777, uid, gid };
    await writeLike(`${backup}.tmp`, read.text, like);
    await rename(`${backup}.tmp`, backup);
    await writeLike(draft, text, like);
    await rename(draft, target);
    await syncFolder(path.dirname(target));
    return { backup };
  } catch (error) {
    await rm(draft, { force: true }).catch(() => undefined);
    await rm(`${backup}.tmp`, { force: true }).catch(() => undefined);
    if (error instanceof V6Error) throw error;
    throw new V6Error('V6_CONFIG_WRITE', `Cannot write ${file}: ${codeOf(error)}`, {
      cause: error,
      hints: ['Check the owner of the file and its folder and the free space of the disk.'],
      details: { file, reason: codeOf(error) },
    });
  }
}

async function writeLike(
  file: string,
  text: string,
  like: { readonly mode: number; readonly uid: number; readonly gid: number },
): Promise<void> {
  await rm(file, { force: true });
  // 'wx': never through a link that somebody put there; 0600 until the owner is right.
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(text, 'utf8');
    const { uid, gid } = await handle.stat();
    if (uid !== like.uid || gid !== like.gid) await handle.chown(like.uid, like.gid);
    await handle.chmod(like.mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown reason';
}
