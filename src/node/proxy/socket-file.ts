import { randomUUID } from 'node:crypto';
import { lstat, rename, rm } from 'node:fs/promises';

/** Whether a socket has this name; false for whatever somebody else put there. */
export async function isSocket(file: string): Promise<boolean> {
  return lstat(file).then(
    (found) => found.isSocket(),
    () => false,
  );
}

/**
 * Makes room for a socket; nothing there is fine. The VPN client may have put a folder there: that is moved aside, since to remove
 * what is in it would mean to follow names that somebody else can change meanwhile.
 */
export async function clearSocket(socket: string): Promise<void> {
  try {
    await rm(socket, { force: true });
  } catch {
    await rename(socket, `${socket}.${randomUUID()}`);
  }
}
