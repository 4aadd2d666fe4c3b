import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import type { Store } from '../interfaces/store.ts';
import { hashPassword, randomPassword } from './passwords.ts';

const FILE = 'root-password';

/**
 * Organization `root` and user `root`, in a database without users. The password is random and stands in a 0600 file of the
 * data folder, whose path is returned; undefined when there are users already. Throws V6_CONFIG_WRITE.
 */
export async function ensureFirstUser(store: Store, dataDir: string): Promise<string | undefined> {
  const users = await store.users.list({}, { offset: 0, limit: 1, sort: [] });
  if (users.total > 0) return undefined;
  const password = randomPassword();
  const file = path.join(dataDir, FILE);
  // First the file: a password that nobody can read would lock the server for good.
  writeSecret(file, password);
  const passwordHash = await hashPassword(password);
  const root = (await store.users.roles()).find((role) => role.name === 'Root');
  await store.transaction(async (tx) => {
    const organizationId = await tx.organizations.create({
      name: 'root',
      domain: null,
      address1: null,
      address2: null,
      zipcode: null,
      country: null,
      publicKey: '',
    });
    await tx.users.create({
      username: 'root',
      firstname: '',
      lastname: '',
      email: 'root@localhost',
      organizationId,
      passwordHash,
      roles: root === undefined ? [] : [root.id],
    });
  });
  return file;
}

function writeSecret(file: string, text: string): void {
  try {
    const handle = openSync(file, 'w', 0o600);
    writeSync(handle, `${text}\n`);
    fsyncSync(handle);
    closeSync(handle);
  } catch (error) {
    throw new V6Error('V6_CONFIG_WRITE', `The password file ${file} could not be written`, {
      cause: error,
      hints: ['Check that the data folder is writable.'],
    });
  }
}
