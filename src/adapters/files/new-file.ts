import { access, link, mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import type { NewFile } from '../../wizard/interfaces/new-file.ts';

/** Files on disk. */
export const newFile: NewFile = {
  isThere: (file) =>
    access(file).then(
      () => true,
      () => false,
    ),

  async write(file, text, { mode, overwrite }) {
    const draft = `${file}.${process.pid}.tmp`;
    try {
      await mkdir(path.dirname(file), { recursive: true, mode: 0o755 });
      await writeDraft(draft, text, mode);
      if (!overwrite) {
        // A link fails when the name is taken, also by somebody who was faster.
        await link(draft, file);
        return undefined;
      }
      const backup = `${file}.bak`;
      const hasOld = await newFile.isThere(file);
      if (hasOld) {
        await rm(backup, { force: true });
        await link(file, backup);
      }
      await rename(draft, file);
      return hasOld ? backup : undefined;
    } catch (error) {
      throw unwritten(file, error as NodeJS.ErrnoException);
    } finally {
      await rm(draft, { force: true }).catch(() => undefined);
    }
  },
};

async function writeDraft(draft: string, text: string, mode: number): Promise<void> {
  await rm(draft, { force: true });
  // 'wx': never through a link that somebody put there.
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(text, 'utf8');
    await handle.chmod(mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function unwritten(file: string, cause: NodeJS.ErrnoException): V6Error {
  if (cause.code === 'EEXIST') {
    return new V6Error('V6_CONFIG_WRITE', `${file} exists already`, {
      cause,
      hints: ['Give another --name, or --overwrite: the file is kept with the ending .bak then.'],
      details: { file },
    });
  }
  return new V6Error('V6_CONFIG_WRITE', `Cannot write ${file}: ${cause.code ?? 'unknown reason'}`, {
    cause,
    hints: ['Run the command as root, or use --user: its folders are yours.'],
    details: { file },
  });
}
