import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import type { UserIdentity } from '../../auth/identity.ts';
import { checkPasswordRule, hashPassword } from '../../auth/passwords.ts';
import {
  assertCanEditUser,
  assertCanForOrganization,
  assertCanGrant,
  forbidden,
} from '../../auth/permissions.ts';
import { scopeOf } from '../../auth/roles.ts';
import type { UserRecord } from '../../interfaces/records.ts';
import type { Store } from '../../interfaces/store.ts';
import { notFound } from '../../services/nodes.ts';
import { getOrganization, partnersOf } from '../../services/parties.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { flag, id, listQuery, once, params, pattern, shortText } from '../fields.ts';
import { pageRequest, sendPage } from '../paging.ts';
import { sharesCollaboration } from './organizations.ts';

const username = z
  .string()
  .min(3)
  .max(128)
  .regex(/^[a-z][\w.-]*$/i, 'Starts with a letter, then letters, digits, dot, dash, underscore');
const roles = z.array(id).max(50);
/** Rules are given through roles; the Python client sends an empty list. */
const rules = z.array(id).max(0, 'Rules are given through roles').nullish();
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
  roles: roles.nullish(),
  rules,
});
const patchBody = z.strictObject({
  username: username.optional(),
  email: email.optional(),
  firstname: shortText.optional(),
  lastname: shortText.optional(),
  roles: roles.optional(),
  rules,
});
const query = listQuery({
  username: once(pattern).optional(),
  organization_id: once(id).optional(),
});

/** Users and the fixed roles. */
export function registerUserRoutes(routes: Routes): void {
  registerReads(routes);
  registerCreation(routes);
  registerChanges(routes);
}

function registerReads({ app, store, render }: Routes): void {
  app.get('/user', { schema: { querystring: query } }, async (request, reply) => {
    const user = callerOf(request, 'user');
    const { username: like, organization_id: wanted } = request.query;
    const visible = await visibleUserOrganizations(store, user);
    const isAllowed = wanted === undefined || visible?.includes(wanted) !== false;
    const organizationIds = wanted === undefined ? visible : isAllowed ? [wanted] : [];
    const rows = await store.users.list(
      { username: like, organizationIds },
      pageRequest(request.query),
    );
    return sendPage(request, reply, { query: request.query, rows, render: render.user });
  });

  const single = z.strictObject({ include_permissions: once(flag).optional() });
  app.get('/user/:id', { schema: { params, querystring: single } }, async (request) => {
    const caller = callerOf(request, 'user');
    const user = await getUser(store, request.params.id);
    const visible = await visibleUserOrganizations(store, caller);
    if (user.id !== caller.id && visible?.includes(user.organizationId) === false)
      throw forbidden('You may not view this user');
    if (request.query.include_permissions !== true) return render.user(user);
    const partners = await partnersOf(store, user.organizationId);
    const permissions = {
      roles: user.roles.map((role) => role.id),
      rules: [],
      orgs_in_collabs: partners,
    };
    return { ...render.user(user), permissions };
  });

  const roleQuery = listQuery({ name: once(pattern).optional(), user_id: once(id).optional() });
  app.get('/role', { schema: { querystring: roleQuery } }, async (request, reply) => {
    callerOf(request, 'user');
    const { name, user_id: userId, page, per_page: size } = request.query;
    const all =
      userId === undefined ? await store.users.roles() : (await getUser(store, userId)).roles;
    const found = all.filter((role) => name === undefined || role.name === name);
    const rows = { rows: found.slice((page - 1) * size, page * size), total: found.length };
    return sendPage(request, reply, { query: request.query, rows, render: render.role });
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
    await assertRolesGrantable(store, caller, body.roles ?? []);
    checkPasswordRule(body.password);
    const passwordHash = await hashPassword(body.password);
    const created = await store.transaction((tx) =>
      tx.users.create({
        username: body.username,
        email: body.email,
        firstname: body.firstname ?? '',
        lastname: body.lastname ?? '',
        organizationId,
        passwordHash,
        roles: [...new Set(body.roles)],
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
    const { rules: _none, roles: wanted, ...changes } = request.body;
    if (wanted !== undefined) {
      if (user.id === caller.id) throw forbidden('You cannot change your own roles');
      await assertRolesGrantable(store, caller, wanted);
    }
    await store.transaction((tx) =>
      tx.users.update(user.id, {
        ...withoutUndefined(changes),
        ...(wanted === undefined ? {} : { roles: [...new Set(wanted)] }),
      }),
    );
    events.publish({ type: 'members-changed', organizationIds: [user.organizationId] });
    return render.user(await getUser(store, user.id));
  });

  const deletion = z.strictObject({ delete_dependents: once(flag).optional() });
  app.delete('/user/:id', { schema: { params, querystring: deletion } }, async (request) => {
    const caller = callerOf(request, 'user');
    const user = await getUser(store, request.params.id);
    const shares = await sharesCollaboration(store, caller.collaborationIds, user.organizationId);
    if (user.id !== caller.id) {
      assertCanForOrganization(caller, 'user', 'delete', {
        organizationId: user.organizationId,
        shares,
      });
    }
    await store.users.remove(user.id);
    events.publish({ type: 'account-ended', accountId: user.id });
    return { msg: `User ${user.id} is deleted` };
  });
}

async function getUser(store: Store, wanted: number): Promise<UserRecord> {
  const user = await store.users.find(wanted);
  if (user === undefined) throw notFound('user', wanted);
  return user;
}

/** Undefined for all. */
async function visibleUserOrganizations(
  store: Store,
  user: UserIdentity,
): Promise<readonly number[] | undefined> {
  const scope = scopeOf(user.roles, 'user', 'view');
  if (scope === 'global') return undefined;
  if (scope === 'collaboration') return partnersOf(store, user.organizationId);
  return scope === 'organization' ? [user.organizationId] : [];
}

async function assertRolesGrantable(
  store: Store,
  caller: UserIdentity,
  wanted: readonly number[],
): Promise<void> {
  const known = await store.users.roles();
  for (const one of wanted) {
    const role = known.find((candidate) => candidate.id === one);
    if (role === undefined) {
      throw new V6Error('V6_REQUEST_NOT_FOUND', `There is no role with id ${one}`, {
        hints: [`Roles: ${known.map(({ id: number, name }) => `${number} ${name}`).join(', ')}.`],
      });
    }
    assertCanGrant(caller, role.name);
  }
}

function withoutUndefined<T extends object>(fields: T) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
