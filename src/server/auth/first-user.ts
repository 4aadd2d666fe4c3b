import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Store } from '../interfaces/store.ts';
import { hashPassword, randomPassword, verifyPassword } from './passwords.ts';

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

/** Warns as long as user `root` has the password of the file; removes the file once it opens nothing any more. */
export async function warnOfFirstPassword(
  store: Store,
  dataDir: string,
  logger: Pick<Logger, 'warn'>,
): Promise<void> {
  const file = path.join(dataDir, FILE);
  let password: string;
  try {
    password = readFileSync(file, 'utf8').trim();
  } catch {
    // Removed by whoever read it, as it should be.
    return;
  }
  const root = await store.users.findLogin('root');
  if (root !== undefined && (await verifyPassword(password, root.passwordHash)))
    logger.warn('User root still has its first password: change it', { file });
  else rmSync(file, { force: true });
}

/** Upstream's way of setting the first password; its hashes are of another kind (bcrypt). */
export function warnOfPasswordHash(
  variables: Readonly<Record<string, string | undefined>>,
  logger: Pick<Logger, 'warn'>,
): void {
  for (const variable of ['V6_INIT_SUPER_PASS_HASHED', 'V6_INIT_SUPER_PASS_HASHED_FILE'])
    if (variables[variable] !== undefined)
      logger.warn('A bcrypt hash is not taken as the first password: see the file', { variable });
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
