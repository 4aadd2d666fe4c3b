import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import { effectiveRules, type UserIdentity } from '../../auth/identity.ts';
import { checkPasswordRule, hashPassword } from '../../auth/passwords.ts';
import {
  assertCanEditUser,
  assertCanForOrganization,
  assertCanLeave,
  forbidden,
} from '../../auth/permissions.ts';
import type { UserRecord } from '../../interfaces/records.ts';
import type { Store, UserFilter } from '../../interfaces/store.ts';
import { assertNotAboveUser, assertRulesExist, checkGrant } from '../../services/grants.ts';
import { notFound } from '../../services/nodes.ts';
import { getOrganization, partnersOf, sharesCollaboration } from '../../services/parties.ts';
import { getUser, getVisibleUser, visibleUserOrganizations } from '../../services/users.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { flag, id, listQuery, moment, once, params, pattern, shortText } from '../fields.ts';
import { pageRequest, sendPage } from '../paging.ts';

const username = z
  .string()
  .min(3)
  .max(128)
  .regex(/^[a-z][\w.-]*$/i, 'Starts with a letter, then letters, digits, dot, dash, underscore');
const ids = z.array(id).max(1000);
const email = z
  .string()
  .max(254)
  .regex(/^[^\s@]+@[^\s@]+$/, 'Not a mail address');

const createBody = z.strictObject({
  username,
  email,
  password: z.string(),
  firstname: shortText.nullish(),
  lastname: shortText.nullish(),
  organization_id: id.nullish(),
  roles: ids.nullish(),
  rules: ids.nullish(),
});
const patchBody = z.strictObject({
  username: username.nullish(),
  email: email.nullish(),
  firstname: shortText.nullish(),
  lastname: shortText.nullish(),
  /** A user stays where it is; clients may send what it is already. */
  organization_id: id.nullish(),
  roles: ids.nullish(),
  rules: ids.nullish(),
});
const query = listQuery({
  username: once(pattern).optional(),
  firstname: once(pattern).optional(),
  lastname: once(pattern).optional(),
  email: once(pattern).optional(),
  organization_id: once(id).optional(),
  collaboration_id: once(id).optional(),
  role_id: once(id).optional(),
  rule_id: once(id).optional(),
  last_seen_from: once(moment).optional(),
  last_seen_till: once(moment).optional(),
});

/** Users. */
export function registerUserRoutes(routes: Routes): void {
  registerReads(routes);
  registerCreation(routes);
  registerChanges(routes);
  registerDeletion(routes);
}

function registerReads({ app, store, render }: Routes): void {
  app.get('/user', { schema: { querystring: query } }, async (request, reply) => {
    const user = callerOf(request, 'user');
    const filter = await filterOf(store, user, request.query);
    const rows = await store.users.list(filter, pageRequest(request.query));
    return sendPage(request, reply, { query: request.query, rows, render: render.user });
  });

  const single = z.strictObject({ include_permissions: once(flag).optional() });
  app.get('/user/:id', { schema: { params, querystring: single } }, async (request) => {
    const caller = callerOf(request, 'user');
    const user = await getVisibleUser(store, caller, request.params.id);
    if (request.query.include_permissions !== true) return render.user(user);
    const permissions = {
      roles: user.roles.map((role) => role.id),
      rules: (await effectiveRules(store, user)).map((rule) => rule.id),
      orgs_in_collabs: await partnersOf(store, user.organizationId),
    };
    return { ...render.user(user), permissions };
  });
}

function registerCreation({ app, store, render }: Routes): void {
  app.post('/user', { schema: { body: createBody } }, async (request, reply) => {
    const caller = callerOf(request, 'user');
    const { body } = request;
    const organizationId = body.organization_id ?? caller.organizationId;
    await getOrganization(store, organizationId);
    const shares = await sharesCollaboration(store, caller.collaborationIds, organizationId);
    assertCanForOrganization(caller, 'user', 'create', { organizationId, shares });
    const wanted = { roles: body.roles ?? [], rules: body.rules ?? [] };
    await checkGrant(store, caller, { organizationId, wanted });
    checkPasswordRule(body.password, [body.username, body.email]);
    const passwordHash = await hashPassword(body.password);
    const created = await store.transaction((tx) =>
      tx.users.create({
        username: body.username,
        email: body.email,
        firstname: body.firstname ?? '',
        lastname: body.lastname ?? '',
        organizationId,
        passwordHash,
        roles: [...new Set(wanted.roles)],
        rules: [...new Set(wanted.rules)],
      }),
    );
    reply.code(201);
    return render.user(await getUser(store, created));
  });
}

function registerChanges({ app, store, events, render }: Routes): void {
  app.patch('/user/:id', { schema: { params, body: patchBody } }, async (request) => {
    const caller = callerOf(request, 'user');
    const user = await getUser(store, request.params.id);
    const shares = await sharesCollaboration(store, caller.collaborationIds, user.organizationId);
    assertCanEditUser(caller, user, shares);
    const { roles, rules, organization_id: organizationId, ...changes } = given(request.body);
    if (organizationId !== undefined && organizationId !== user.organizationId) {
      const message = 'A user cannot move to another organization';
      throw new V6Error('V6_REQUEST_INVALID', message, {
        details: { errors: { organization_id: [`${message}.`] } },
      });
    }
    if (user.id === caller.id) assertNoOwnGrant(user, { roles, rules });
    else await assertNotAboveUser(store, caller, user);
    await checkGrant(store, caller, {
      organizationId: user.organizationId,
      wanted: { roles, rules },
      present: user,
    });
    await store.transaction((tx) =>
      tx.users.update(user.id, {
        ...changes,
        ...(roles === undefined ? {} : { roles: [...new Set(roles)] }),
        ...(rules === undefined ? {} : { rules: [...new Set(rules)] }),
      }),
    );
    events.publish({ type: 'members-changed', organizationIds: [user.organizationId] });
    return render.user(await getUser(store, user.id));
  });
}

function registerDeletion({ app, store, events }: Routes): void {
  // Nothing hangs on a user: tasks stay, without their initiator. The flag is for clients that send it.
  const deletion = z.strictObject({ delete_dependents: once(flag).optional() });
  app.delete('/user/:id', { schema: { params, querystring: deletion } }, async (request) => {
    const caller = callerOf(request, 'user');
    const user = await getUser(store, request.params.id);
    const shares = await sharesCollaboration(store, caller.collaborationIds, user.organizationId);
    if (user.id === caller.id) assertCanLeave(caller);
    else {
      assertCanForOrganization(caller, 'user', 'delete', {
        organizationId: user.organizationId,
        shares,
      });
      await assertNotAboveUser(store, caller, user);
    }
    await store.users.remove(user.id);
    events.publish({ type: 'account-ended', accountId: user.id });
    return { msg: `User ${user.id} is deleted` };
  });
}

async function filterOf(
  store: Store,
  user: UserIdentity,
  wanted: z.infer<typeof query>,
): Promise<UserFilter> {
  const { organization_id: organization, role_id: roleId, rule_id: ruleId } = wanted;
  if (roleId !== undefined && (await store.roles.find(roleId)) === undefined)
    throw notFound('role', roleId);
  if (ruleId !== undefined) assertRulesExist([ruleId]);
  const visible = await visibleUserOrganizations(store, user);
  const isVisible = organization === undefined || visible?.includes(organization) !== false;
  const asked = organization === undefined ? visible : isVisible ? [organization] : [];
  return {
    username: wanted.username,
    firstname: wanted.firstname,
    lastname: wanted.lastname,
    email: wanted.email,
    organizationIds: asked,
    collaborationId: wanted.collaboration_id,
    roleId,
    ruleId,
    lastSeen: { from: wanted.last_seen_from, till: wanted.last_seen_till },
  };
}

/** Own roles and rules are a matter of others; sending what one has already is no change. */
function assertNoOwnGrant(
  user: UserRecord,
  wanted: {
    readonly roles: readonly number[] | undefined;
    readonly rules: readonly number[] | undefined;
  },
): void {
  const isSame = (one: readonly number[], other: readonly number[] | undefined): boolean =>
    other === undefined ||
    (new Set([...one, ...other]).size === one.length && one.length <= other.length);
  const roles = user.roles.map((role) => role.id);
  if (!isSame(roles, wanted.roles) || !isSame(user.ruleIds, wanted.rules))
    throw forbidden('You cannot change your own roles and rules');
}

/** Without what is null or left out. */
function given<T extends object>(fields: T) {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null),
  ) as { [K in keyof T]?: Exclude<T[K], undefined | null> };
}
