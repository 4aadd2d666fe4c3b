import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A folder of its own for one test, gone at the end of `await using`. Its path is short: unix sockets have 107 bytes. */
export interface TempFolder extends AsyncDisposable {
  readonly path: string;
  remove(): Promise<void>;
}

export async function tempFolder(): Promise<TempFolder> {
  const folder = await mkdtemp(path.join(tmpdir(), 'v6-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  return { path: folder, remove, [Symbol.asyncDispose]: remove };
}
