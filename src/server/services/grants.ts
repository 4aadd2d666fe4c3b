import { V6Error } from '../../core/errors.ts';
import { effectiveRules, type UserIdentity } from '../auth/identity.ts';
import { assertCanGrant, assertNotAbove, forbidden } from '../auth/permissions.ts';
import { isForUsers } from '../auth/roles.ts';
import { rulesOf } from '../auth/rules.ts';
import type { RoleRecord, UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';

/** What users and roles are to be given. */
export interface Grant {
  readonly roles?: readonly number[] | undefined;
  readonly rules?: readonly number[] | undefined;
}

/**
 * What is added to somebody or taken from somebody must be within what the giver has; roles of another organization fit nobody
 * else. Throws V6_REQUEST_NOT_FOUND for ids that there are not, V6_REQUEST_INVALID, V6_AUTH_FORBIDDEN.
 */
export async function checkGrant(
  store: Store,
  giver: UserIdentity,
  change: {
    readonly organizationId: number;
    readonly wanted: Grant;
    readonly present?: UserRecord | undefined;
  },
): Promise<void> {
  const { wanted, present, organizationId } = change;
  const known = await store.users.roles();
  const before = present?.roles.map((role) => role.id) ?? [];
  const changedRoles = wanted.roles === undefined ? [] : difference(before, wanted.roles);
  for (const id of wanted.roles ?? []) {
    const role = roleIn(known, id);
    if (before.includes(id)) continue;
    if (!isForUsers(role)) throw forbidden(`The role ${role.name} is not for users`);
    if (role.organizationId !== null && role.organizationId !== organizationId) {
      const message = `Role ${id} belongs to another organization than the user`;
      throw new V6Error('V6_REQUEST_INVALID', message, {
        details: { errors: { roles: [`${message}.`] } },
      });
    }
  }
  if (changedRoles.length > 0)
    assertCanGrant(giver, rulesOf(await store.rules.ofRoles(changedRoles)));
  if (wanted.rules === undefined) return;
  assertRulesExist(wanted.rules);
  assertCanGrant(giver, rulesOf(difference(present?.ruleIds ?? [], wanted.rules)));
}

/** Throws V6_REQUEST_NOT_FOUND. */
export function assertRulesExist(ids: readonly number[]): void {
  const known = rulesOf(ids);
  const missing = ids.find((id) => !known.some((rule) => rule.id === id));
  if (missing !== undefined)
    throw new V6Error('V6_REQUEST_NOT_FOUND', `There is no rule with id ${missing}`, {
      hints: ['GET /rule?no_pagination=1 lists them.'],
    });
}

/** Throws V6_AUTH_FORBIDDEN when the user has rights that the caller has not. */
export async function assertNotAboveUser(
  store: Store,
  caller: UserIdentity,
  user: UserRecord,
): Promise<void> {
  assertNotAbove(caller, await effectiveRules(store, user));
}

/** In one list and not in the other. */
export function difference(one: readonly number[], other: readonly number[]): readonly number[] {
  return [...one.filter((id) => !other.includes(id)), ...other.filter((id) => !one.includes(id))];
}

function roleIn(known: readonly RoleRecord[], id: number): RoleRecord {
  const role = known.find((candidate) => candidate.id === id);
  if (role !== undefined) return role;
  const fixed = known.filter((candidate) => candidate.isDefault && isForUsers(candidate));
  throw new V6Error('V6_REQUEST_NOT_FOUND', `There is no role with id ${id}`, {
    hints: [`Roles: ${fixed.map(({ id: number, name }) => `${number} ${name}`).join(', ')}.`],
  });
}
