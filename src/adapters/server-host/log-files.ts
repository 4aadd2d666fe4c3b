import { open, readFile, rename, stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { ServerLogFiles } from '../../server/interfaces/host.ts';

const POLL_MS = 200;
const CHUNK_BYTES = 65_536;

/** Log files on disk. A file that got shorter was rotated: it is read from its start. */
export const serverLogFiles: ServerLogFiles = {
  async read(file, tail) {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    if (tail === undefined) return text;
    const lines = text.split('\n');
    if (lines.at(-1) === '') lines.pop();
    return tail === 0
      ? ''
      : lines
          .slice(-tail)
          .map((line) => `${line}\n`)
          .join('');
  },

  async *follow(file, signal, isOver) {
    let at = (await sizeOf(file)) ?? 0;
    for (;;) {
      // Asked before the read: what was written until the end is read then.
      const isLast = signal.aborted || isOver();
      const size = (await sizeOf(file)) ?? 0;
      if (size < at) at = 0;
      while (at < size) {
        const { text, bytes } = await readFrom(file, at);
        if (bytes === 0) break;
        at += bytes;
        yield text;
      }
      if (isLast) return;
      await setTimeout(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  },

  async rotate(file, limitBytes) {
    if (((await sizeOf(file)) ?? 0) > limitBytes) await rename(file, `${file}.1`);
  },
};

async function sizeOf(file: string): Promise<number | undefined> {
  const state = await stat(file).catch(() => undefined);
  return state?.size;
}

async function readFrom(file: string, at: number): Promise<{ text: string; bytes: number }> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, at);
    return { text: buffer.toString('utf8', 0, bytesRead), bytes: bytesRead };
  } finally {
    await handle.close();
  }
}
