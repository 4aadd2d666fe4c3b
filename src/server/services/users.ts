import type { UserIdentity } from '../auth/identity.ts';
import { forbidden } from '../auth/permissions.ts';
import { scopeOf } from '../auth/rules.ts';
import type { UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { notFound } from './nodes.ts';
import { partnersOf } from './parties.ts';

/** Throws V6_REQUEST_NOT_FOUND. */
export async function getUser(store: Store, id: number): Promise<UserRecord> {
  const user = await store.users.find(id);
  if (user === undefined) throw notFound('user', id);
  return user;
}

/** Organizations whose users somebody sees; undefined for all. Everybody sees the own account beside. */
export async function visibleUserOrganizations(
  store: Store,
  user: UserIdentity,
): Promise<readonly number[] | undefined> {
  const scope = scopeOf(user.rules, 'user', 'view');
  if (scope === 'global') return undefined;
  if (scope === 'collaboration') return partnersOf(store, user.organizationId);
  return scope === 'organization' ? [user.organizationId] : [];
}

/** The user, when the caller may see it. Throws V6_REQUEST_NOT_FOUND, V6_AUTH_FORBIDDEN. */
export async function getVisibleUser(
  store: Store,
  caller: UserIdentity,
  id: number,
): Promise<UserRecord> {
  const user = await getUser(store, id);
  const visible = await visibleUserOrganizations(store, caller);
  if (user.id !== caller.id && visible?.includes(user.organizationId) === false)
    throw forbidden('You may not view this user');
  return user;
}
