import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { untilSocketIsGone } from '../../../../src/adapters/docker/socket-watch.ts';
import { tempFolder } from '../../../support/temp-folder.ts';

const QUICK = { everyMs: 5, graceMs: 5 };

it('the file of a socket that was taken away from under a bind is noticed', async () => {
  const folder = await tempFolder();
  const file = path.join(folder.path, 'docker.sock');
  const handle = await open(file, 'w');
  try {
    // As a bind does, this path goes on to lead to the file after its name is gone.
    const bound = `/proc/self/fd/${handle.fd}`;
    let isNoticed = false;
    const gone = untilSocketIsGone(new AbortController().signal, bound, QUICK).then(() => {
      isNoticed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(isNoticed).toBe(false);
    await rm(file);
    await gone;
  } finally {
    await handle.close();
    await folder.remove();
  }
});

it('a socket that is away, as on the host between two engines, is not', async () => {
  const stop = AbortSignal.timeout(60);
  await expect(untilSocketIsGone(stop, '/nowhere/docker.sock', QUICK)).rejects.toThrow();
});
