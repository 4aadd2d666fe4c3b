import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Where the engine's socket is bound in a container of ours. */
const USUAL_SOCKET = '/var/run/docker.sock';
const EVERY_MS = 2000;
/** An engine that is restarted is back within this time and starts us again at once; until then we do what goes without it. */
const GRACE_MS = 8000;

/**
 * Resolves when the engine has taken its socket away from under us, and rejects with the signal's reason. An engine that makes its
 * socket itself makes a new one at each start. A container that has the old file bound never sees the new one, until it is
 * started again itself. On the host, and where systemd keeps the socket, this never happens.
 */
export async function untilSocketIsGone(
  signal: AbortSignal,
  socket: string = USUAL_SOCKET,
  times: { readonly everyMs: number; readonly graceMs: number } = {
    everyMs: EVERY_MS,
    graceMs: GRACE_MS,
  },
): Promise<void> {
  while (!(await isUnlinked(socket))) await sleep(times.everyMs, undefined, { signal });
  await sleep(times.graceMs, undefined, { signal });
}

/** A file that still has a path here, and none in its file system any more. */
async function isUnlinked(file: string): Promise<boolean> {
  const stats = await stat(file).catch(() => undefined);
  return stats?.nlink === 0;
}
