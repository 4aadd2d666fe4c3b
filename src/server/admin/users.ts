import type { Clock } from '../../core/clock.ts';
import type { ServerConfig } from '../../core/config/server-config.ts';
import { V6Error } from '../../core/errors.ts';
import { checkPasswordRule, hashPassword } from '../auth/passwords.ts';
import type { ServerKeys } from '../auth/secret.ts';
import type { UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { createGuesses } from '../services/guesses.ts';
import { markOutsideChange } from '../services/outside-changes.ts';
import { allUsers, getOrganizationBy, getUserBy, organizationsByName, roleIds } from './lookups.ts';
import { emailProblem, noEmail, usernameProblem } from './user-fields.ts';

/** A user as the command line shows it. */
export interface ShownUser {
  readonly id: number;
  readonly username: string;
  readonly firstname: string;
  readonly lastname: string;
  readonly email: string;
  readonly organization: string;
  readonly roles: readonly string[];
  /** ISO 8601; null when never. */
  readonly lastSeen: string | null;
  readonly hasSecondFactor: boolean;
}

export async function listUsers(
  store: Store,
  filter: { readonly organization?: string | undefined } = {},
): Promise<readonly ShownUser[]> {
  const wanted =
    filter.organization === undefined
      ? undefined
      : (await getOrganizationBy(store, filter.organization)).id;
  const all = await allUsers(store);
  const users = all.filter(
    ({ organizationId }) => wanted === undefined || organizationId === wanted,
  );
  const names = await organizationNames(store);
  return Promise.all(users.map((user) => show(store, user, names)));
}

async function organizationNames(store: Store): Promise<ReadonlyMap<number, string>> {
  const all = await organizationsByName(store);
  return new Map([...all.values()].map(({ id, name }) => [id, name]));
}

async function show(
  store: Store,
  user: UserRecord,
  organizations: ReadonlyMap<number, string>,
): Promise<ShownUser> {
  const { id, username, firstname, lastname, email, organizationId, roles, lastSeenAt } = user;
  return {
    id,
    username,
    firstname,
    lastname,
    email,
    organization: organizations.get(organizationId) ?? String(organizationId),
    roles: roles.map(({ name }) => name),
    lastSeen: lastSeenAt?.toISOString() ?? null,
    hasSecondFactor: typeof (await store.secondFactors.find(id))?.secret === 'string',
  };
}

const shown = async (store: Store, username: string): Promise<ShownUser> =>
  show(store, await getUserBy(store, username), await organizationNames(store));

export interface NewUser {
  readonly username: string;
  /** Name or number. */
  readonly organization: string;
  readonly email: string | undefined;
  readonly firstname: string | undefined;
  readonly lastname: string | undefined;
  /** Names. */
  readonly roles: readonly string[];
  readonly password: string;
}

/** Throws V6_USAGE, V6_REQUEST_INVALID (password), V6_REQUEST_NOT_FOUND (organization, role), V6_REQUEST_CONFLICT. */
export async function createUser(store: Store, user: NewUser): Promise<ShownUser> {
  const { username, email } = user;
  refuse(`--username: ${usernameProblem(username)}`, usernameProblem(username));
  if (email !== undefined) refuse(`--email: ${emailProblem(email)}`, emailProblem(email));
  checkPasswordRule(user.password, [username]);
  const passwordHash = await hashPassword(user.password);
  await store.transaction(async (tx) => {
    await markOutsideChange(tx.meta);
    const organization = await getOrganizationBy(tx, user.organization);
    await refuseTaken(tx, username, email);
    await tx.users.create({
      username,
      email: email ?? noEmail(username),
      firstname: user.firstname ?? '',
      lastname: user.lastname ?? '',
      organizationId: organization.id,
      passwordHash,
      roles: await roleIds(tx, organization.id, user.roles),
    });
  });
  return shown(store, username);
}

function refuse(sentence: string, problem: string | undefined): void {
  if (problem !== undefined) throw new V6Error('V6_USAGE', sentence);
}

async function refuseTaken(
  store: Store,
  username: string,
  email: string | undefined,
): Promise<void> {
  if ((await store.users.findLogin(username)) !== undefined) {
    throw new V6Error('V6_REQUEST_CONFLICT', `There is a user ${username} already`, {
      hints: [`To set the password anew: v6 server user reset-password ${username}`],
    });
  }
  if (email !== undefined && (await store.users.findByEmail(email)) !== undefined)
    throw new V6Error('V6_REQUEST_CONFLICT', `There is a user with the address ${email} already`);
}

export interface UserAdminDeps {
  readonly store: Store;
  readonly config: Pick<ServerConfig, 'accounts'>;
  readonly keys: Pick<ServerKeys, 'accounts'>;
  readonly clock: Pick<Clock, 'now'>;
}

/** Sets a password; all tokens and connections of the user end, and failed logins are forgotten. Throws as createUser does. */
export async function resetPassword(
  deps: UserAdminDeps,
  username: string,
  password: string,
): Promise<ShownUser> {
  const { store } = deps;
  checkPasswordRule(password, [username]);
  const { id } = await getUserBy(store, username);
  const passwordHash = await hashPassword(password);
  await store.transaction(async (tx) => {
    await markOutsideChange(tx.meta);
    await tx.users.update(id, { passwordHash, endTokens: true });
  });
  await unlockUser(deps, username, []);
  return shown(store, username);
}

/** Takes the second factor away: the user enrols a new one at the next login. Tokens and connections end. */
export async function resetSecondFactor(store: Store, username: string): Promise<ShownUser> {
  const { id } = await getUserBy(store, username);
  await store.transaction(async (tx) => {
    await markOutsideChange(tx.meta);
    await tx.secondFactors.remove(id);
    await tx.users.update(id, { endTokens: true });
  });
  return shown(store, username);
}

/**
 * Forgets failed logins: those of the name from everywhere together, those from addresses that the user has a session from,
 * and those from `addresses`. Throws V6_REQUEST_NOT_FOUND.
 */
export async function unlockUser(
  { store, config, keys, clock }: UserAdminDeps,
  username: string,
  addresses: readonly string[],
): Promise<ShownUser> {
  const { id } = await getUserBy(store, username);
  const sessions = await store.sessions.list(id, clock.now());
  const sources = new Set([...addresses, ...sessions.flatMap(({ source }) => source ?? [])]);
  const guesses = createGuesses({ store, clock, key: keys.accounts, settings: config.accounts });
  await guesses.unlock(username, [...sources]);
  return shown(store, username);
}

/** The user goes; its tasks stay. Throws V6_REQUEST_NOT_FOUND. */
export async function removeUser(store: Store, username: string): Promise<ShownUser> {
  const user = await shown(store, username);
  await store.transaction(async (tx) => {
    await markOutsideChange(tx.meta);
    await tx.users.remove(user.id);
  });
  return user;
}
