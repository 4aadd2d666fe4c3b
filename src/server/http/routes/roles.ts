import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import type { UserIdentity } from '../../auth/identity.ts';
import {
  assertCanForOrganization,
  assertCanGrant,
  forbidden,
  visibleRoles,
} from '../../auth/permissions.ts';
import { FIXED_ROLES } from '../../auth/roles.ts';
import { rulesOf } from '../../auth/rules.ts';
import type { RoleRecord } from '../../interfaces/records.ts';
import type { RoleScope } from '../../interfaces/rights-store.ts';
import type { Store } from '../../interfaces/store.ts';
import { assertRulesExist, difference } from '../../services/grants.ts';
import { LARGEST_PAGE } from '../../services/list-all.ts';
import { notFound } from '../../services/nodes.ts';
import { getOrganization, partnersOf, sharesCollaboration } from '../../services/parties.ts';
import { getVisibleUser } from '../../services/users.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { flag, id, list, listQuery, name, once, params, pattern } from '../fields.ts';
import { pageRequest, sendPage } from '../paging.ts';

const FIXED = new Set(FIXED_ROLES.map((role) => role.name.toLowerCase()));
const roleName = name.refine((text) => !FIXED.has(text.toLowerCase()), 'The name of a fixed role');
const description = z.string().max(1024);
const rules = z.array(id).max(1000);
const createBody = z.strictObject({
  name: roleName,
  description: description.nullish(),
  rules,
  organization_id: id.nullish(),
});
const patchBody = z.strictObject({
  name: roleName.nullish(),
  description: description.nullish(),
  rules: rules.nullish(),
});
const query = listQuery({
  name: once(pattern).optional(),
  description: once(pattern).optional(),
  organization_id: list(id).optional(),
  collaboration_id: once(id).optional(),
  rule_id: once(id).optional(),
  user_id: once(id).optional(),
  include_root: once(flag).optional(),
});

/** Roles: the fixed ones, which nobody changes, and those of organizations. */
export function registerRoleRoutes(routes: Routes): void {
  registerReads(routes);
  registerWrites(routes);
  registerRulesOfRole(routes);
}

function registerReads({ app, store, render }: Routes): void {
  app.get('/role', { schema: { querystring: query } }, async (request, reply) => {
    const user = callerOf(request, 'user');
    const { name: like, description: about, rule_id: ruleId, user_id: userId } = request.query;
    if (ruleId !== undefined) assertRulesExist([ruleId]);
    if (userId !== undefined) await getVisibleUser(store, user, userId);
    const rows = await store.roles.list(
      {
        name: like,
        description: about,
        ruleId,
        userId,
        wanted: await wantedRoles(store, request.query),
        visible: visibleRoles(user, await partnersOf(store, user.organizationId)),
      },
      pageRequest(request.query),
    );
    return sendPage(request, reply, { query: request.query, rows, render: render.role });
  });

  app.get('/role/:id', { schema: { params } }, async (request) => {
    const user = callerOf(request, 'user');
    return render.role(await getVisibleRole(store, user, request.params.id));
  });
}

function registerWrites({ app, store, events, render }: Routes): void {
  app.post('/role', { schema: { body: createBody } }, async (request, reply) => {
    const user = callerOf(request, 'user');
    const { body } = request;
    const organizationId = body.organization_id ?? user.organizationId;
    await getOrganization(store, organizationId);
    await assertCan(store, user, 'create', organizationId);
    assertRulesExist(body.rules);
    assertCanGrant(user, rulesOf(body.rules));
    const created = await store.transaction((tx) =>
      tx.roles.create({
        name: body.name,
        description: body.description ?? '',
        organizationId,
        rules: body.rules,
      }),
    );
    reply.code(201);
    return render.role(await getRole(store, created));
  });

  app.patch('/role/:id', { schema: { params, body: patchBody } }, async (request) => {
    const user = callerOf(request, 'user');
    const role = await getChangeableRole(store, user, 'edit', request.params.id);
    const { name: title, description: about, rules: wanted } = request.body;
    if (wanted !== null && wanted !== undefined) {
      assertRulesExist(wanted);
      assertCanGrant(user, rulesOf(difference(await store.rules.ofRoles([role.id]), wanted)));
    }
    await store.transaction((tx) =>
      tx.roles.update(role.id, {
        name: title ?? undefined,
        description: about ?? undefined,
        rules: wanted ?? undefined,
      }),
    );
    events.publish({ type: 'members-changed', organizationIds: [role.organizationId ?? 0] });
    return render.role(await getRole(store, role.id));
  });

  const deletion = z.strictObject({ delete_dependents: once(flag).default(false) });
  app.delete('/role/:id', { schema: { params, querystring: deletion } }, async (request) => {
    const user = callerOf(request, 'user');
    const role = await getChangeableRole(store, user, 'delete', request.params.id);
    assertCanGrant(user, rulesOf(await store.rules.ofRoles([role.id])));
    const { total } = await store.users.list(
      { roleId: role.id },
      { offset: 0, limit: 1, sort: [] },
    );
    if (total > 0 && !request.query.delete_dependents) {
      throw new V6Error('V6_REQUEST_CONFLICT', `${total} users have the role ${role.id}`, {
        hints: ['Take it from them first, or give delete_dependents=true.'],
      });
    }
    await store.roles.remove(role.id);
    events.publish({ type: 'members-changed', organizationIds: [role.organizationId ?? 0] });
    return { msg: `Role ${role.id} is deleted` };
  });
}

const ruleParams = z.object({ id, rule_id: id });

function registerRulesOfRole({ app, store, events, render }: Routes): void {
  app.get(
    '/role/:id/rule',
    { schema: { params, querystring: listQuery({}) } },
    async (request, reply) => {
      const user = callerOf(request, 'user');
      const role = await getVisibleRole(store, user, request.params.id);
      const rows = await store.rules.list({ roleId: role.id }, pageRequest(request.query));
      return sendPage(request, reply, { query: request.query, rows, render: render.rule });
    },
  );

  const change = async (
    user: UserIdentity,
    target: { readonly id: number; readonly rule_id: number },
    next: (now: readonly number[]) => readonly number[],
  ) => {
    const role = await getChangeableRole(store, user, 'edit', target.id);
    assertRulesExist([target.rule_id]);
    assertCanGrant(user, rulesOf([target.rule_id]));
    const now = await store.rules.ofRoles([role.id]);
    await store.transaction((tx) => tx.roles.update(role.id, { rules: next(now) }));
    events.publish({ type: 'members-changed', organizationIds: [role.organizationId ?? 0] });
    const { rows } = await store.rules.list({ roleId: role.id }, LARGEST_PAGE);
    return rows.map(render.rule);
  };
  app.post(
    '/role/:id/rule/:rule_id',
    { schema: { params: ruleParams } },
    async (request, reply) => {
      const { params: target } = request;
      const user = callerOf(request, 'user');
      const after = await change(user, target, (now) => [...new Set([...now, target.rule_id])]);
      reply.code(201);
      return after;
    },
  );
  app.delete('/role/:id/rule/:rule_id', { schema: { params: ruleParams } }, async (request) => {
    const { params: target } = request;
    const user = callerOf(request, 'user');
    return change(user, target, (now) => now.filter((one) => one !== target.rule_id));
  });
}

/** Roles of organizations, of a collaboration's organizations; the others with `include_root`. */
async function wantedRoles(
  store: Store,
  wanted: z.infer<typeof query>,
): Promise<RoleScope | undefined> {
  const { organization_id: ids, collaboration_id: collaboration, include_root: root } = wanted;
  if (ids === undefined && collaboration === undefined) return undefined;
  const members =
    collaboration === undefined ? undefined : await store.collaborations.members(collaboration);
  const organizationIds =
    ids === undefined ? (members ?? []) : ids.filter((one) => members?.includes(one) !== false);
  return { ids: [], organizationIds, serverWide: root === true };
}

async function getRole(store: Store, wanted: number): Promise<RoleRecord> {
  const role = await store.roles.find(wanted);
  if (role === undefined) throw notFound('role', wanted);
  return role;
}

async function getVisibleRole(
  store: Store,
  user: UserIdentity,
  wanted: number,
): Promise<RoleRecord> {
  const role = await getRole(store, wanted);
  const visible = visibleRoles(user, await partnersOf(store, user.organizationId));
  const isVisible =
    visible === undefined ||
    visible.ids.includes(role.id) ||
    (role.organizationId === null
      ? visible.serverWide
      : visible.organizationIds.includes(role.organizationId));
  if (!isVisible) throw forbidden('You may not view this role');
  return role;
}

/** Throws V6_AUTH_FORBIDDEN for the fixed roles too, whoever asks. */
async function getChangeableRole(
  store: Store,
  user: UserIdentity,
  operation: 'edit' | 'delete',
  wanted: number,
): Promise<RoleRecord> {
  const role = await getRole(store, wanted);
  if (role.isDefault || role.organizationId === null) {
    throw new V6Error('V6_AUTH_FORBIDDEN', `The role ${role.name} is one of every server`, {
      hints: ['Make a role of your own with the rules that you need.'],
    });
  }
  await assertCan(store, user, operation, role.organizationId);
  return role;
}

async function assertCan(
  store: Store,
  user: UserIdentity,
  operation: 'create' | 'edit' | 'delete',
  organizationId: number,
): Promise<void> {
  const shares = await sharesCollaboration(store, user.collaborationIds, organizationId);
  assertCanForOrganization(user, 'role', operation, { organizationId, shares });
}
