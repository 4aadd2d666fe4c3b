import { randomUUID } from 'node:crypto';
import type { MetaStore } from '../interfaces/store.ts';

/** In the table `meta`: another value after each change that did not come through the server itself. */
export const OUTSIDE_CHANGE = 'outside-change';

/**
 * Marks that accounts or memberships change now; a server that runs on the database looks at it every second and checks its
 * connections anew. As the first write of a transaction it also takes SQLite's write lock before anything is read.
 */
export async function markOutsideChange(meta: Pick<MetaStore, 'set'>): Promise<void> {
  await meta.set(OUTSIDE_CHANGE, randomUUID());
}
