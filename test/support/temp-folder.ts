import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A folder of its own for one test file. Its path is short: unix sockets have 107 bytes. */
export interface TempFolder {
  readonly path: string;
  readonly remove: () => Promise<void>;
}

export async function tempFolder(): Promise<TempFolder> {
  const folder = await mkdtemp(path.join(tmpdir(), 'v6-'));
  // Somebody who is about to end may still write a file.
  const options = { recursive: true, force: true, maxRetries: 10 };
  return { path: folder, remove: () => rm(folder, options) };
}

/** A folder for one test, gone when it ends. */
export async function inTempFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await tempFolder();
  try {
    return await work(folder.path);
  } finally {
    await folder.remove();
  }
}
