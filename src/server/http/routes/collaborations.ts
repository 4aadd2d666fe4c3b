import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import type { Identity } from '../../auth/identity.ts';
import {
  assertCanForCollaboration,
  assertGlobal,
  forbidden,
  visibleParties,
} from '../../auth/permissions.ts';
import type { CollaborationRecord } from '../../interfaces/records.ts';
import type { Store } from '../../interfaces/store.ts';
import { notFound } from '../../services/nodes.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { flag, id, list, listQuery, name, once, params, pattern } from '../fields.ts';
import { pageRequest, sendPage } from '../paging.ts';

const organizationIds = z
  .array(id)
  .min(1)
  .max(1000)
  .refine((ids) => new Set(ids).size === ids.length, 'Must not repeat');
const createBody = z.strictObject({
  name,
  organization_ids: organizationIds,
  encrypted: z.boolean(),
});
const patchBody = z.strictObject({
  name: name.optional(),
  organization_ids: organizationIds.optional(),
  encrypted: z.boolean().optional(),
});
const include = list(z.enum(['organizations'])).optional();
const query = listQuery({
  name: once(pattern).optional(),
  encrypted: once(flag).optional(),
  organization_id: once(id).optional(),
  include,
});

/** Collaborations and who is in them. */
export function registerCollaborationRoutes(routes: Routes): void {
  registerReads(routes);
  registerWrites(routes);
  registerMembers(routes);
}

function registerReads({ app, store, render }: Routes): void {
  const rendered = async (row: CollaborationRecord, included: readonly string[] | undefined) =>
    included?.includes('organizations') === true
      ? {
          ...render.collaboration(row),
          organizations: (await membersOf(store, row.id)).map(render.organization),
        }
      : render.collaboration(row);

  app.get('/collaboration', { schema: { querystring: query } }, async (request, reply) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const { name: like, encrypted, organization_id: organizationId } = request.query;
    const { rows, total } = await store.collaborations.list(
      { ids: visibleCollaborations(identity), name: like, encrypted, organizationId },
      pageRequest(request.query),
    );
    const data = await Promise.all(rows.map((row) => rendered(row, request.query.include)));
    return sendPage(request, reply, {
      query: request.query,
      rows: { rows: data, total },
      render: (row) => row,
    });
  });

  app.get(
    '/collaboration/:id',
    { schema: { params, querystring: z.strictObject({ include }) } },
    async (request) => {
      const identity = callerOf(request, 'user', 'node', 'container');
      const collaboration = await getCollaboration(store, request.params.id);
      if (visibleCollaborations(identity)?.includes(collaboration.id) === false)
        throw forbidden('You may not view this collaboration');
      return rendered(collaboration, request.query.include);
    },
  );
}

function registerWrites({ app, store, events, render }: Routes): void {
  // 200 and not 201: upstream's client and ours read it so.
  app.post('/collaboration', { schema: { body: createBody } }, async (request) => {
    assertGlobal(callerOf(request, 'user'), 'collaboration', 'create');
    const { name: title, encrypted, organization_ids: members } = request.body;
    const created = await store.transaction(async (tx) => {
      await assertOrganizationsExist(tx, members);
      const made = await tx.collaborations.create({ name: title, encrypted });
      await tx.collaborations.setMembers(made, members);
      return made;
    });
    events.publish({ type: 'members-changed', organizationIds: members });
    return render.collaboration(await getCollaboration(store, created));
  });

  app.patch('/collaboration/:id', { schema: { params, body: patchBody } }, async (request) => {
    const user = callerOf(request, 'user');
    const { organization_ids: members, ...changes } = request.body;
    const collaboration = await getCollaboration(store, request.params.id);
    assertCanForCollaboration(user, 'collaboration', 'edit', collaboration.id);
    if (members !== undefined) {
      assertGlobal(user, 'collaboration', 'edit');
      await changeMembers({ store, events }, collaboration.id, () => members);
    }
    await store.collaborations.update(collaboration.id, changes);
    return render.collaboration(await getCollaboration(store, collaboration.id));
  });

  const deletion = z.strictObject({ delete_dependents: once(flag).default(false) });
  app.delete(
    '/collaboration/:id',
    { schema: { params, querystring: deletion } },
    async (request) => {
      const user = callerOf(request, 'user');
      const collaboration = await getCollaboration(store, request.params.id);
      assertCanForCollaboration(user, 'collaboration', 'delete', collaboration.id);
      const nodes = await store.nodes.list({ collaborationIds: [collaboration.id] }, ALL);
      const tasks = await store.tasks.list({ collaborationIds: [collaboration.id] }, ALL);
      if (!request.query.delete_dependents && nodes.total + tasks.total > 0) {
        throw new V6Error('V6_REQUEST_CONFLICT', 'The collaboration has nodes or tasks', {
          hints: ['Delete them first, or give delete_dependents=true.'],
        });
      }
      await store.transaction((tx) => tx.collaborations.remove(collaboration.id));
      for (const node of nodes.rows) events.publish({ type: 'account-ended', accountId: node.id });
      return { msg: `Collaboration ${collaboration.id} is deleted` };
    },
  );
}

function registerMembers({ app, store, events, render }: Routes): void {
  const body = z.strictObject({ id });
  const change =
    (next: (members: readonly number[], organization: number) => readonly number[]) =>
    async (request: { params: { id: number }; body: { id: number } } & Asked) => {
      const user = callerOf(request, 'user');
      const collaboration = await getCollaboration(store, request.params.id);
      assertCanForCollaboration(user, 'collaboration', 'edit', collaboration.id);
      const organization = request.body.id;
      await changeMembers({ store, events }, collaboration.id, (now) => next(now, organization));
      return (await membersOf(store, collaboration.id)).map(render.organization);
    };
  const schema = { params, body };
  app.post(
    '/collaboration/:id/organization',
    { schema },
    change((members, one) => [...new Set([...members, one])]),
  );
  app.delete(
    '/collaboration/:id/organization',
    { schema },
    change((members, one) => members.filter((member) => member !== one)),
  );
}

type Asked = Parameters<typeof callerOf>[0];

const ALL = { offset: 0, limit: 1000, sort: [] } as const;

/** An organization that leaves takes its node along. */
async function changeMembers(
  { store, events }: Pick<Routes, 'store' | 'events'>,
  collaboration: number,
  next: (members: readonly number[]) => readonly number[],
): Promise<void> {
  const { before, after, ended } = await store.transaction(async (tx) => {
    const members = await tx.collaborations.members(collaboration);
    const wanted = next(members);
    await assertOrganizationsExist(tx, wanted);
    const leaving = members.filter((member) => !wanted.includes(member));
    const { rows } = await tx.nodes.list(
      { organizationIds: leaving, collaborationIds: [collaboration] },
      ALL,
    );
    for (const node of rows) await tx.nodes.remove(node.id);
    await tx.collaborations.setMembers(collaboration, wanted);
    return { before: members, after: wanted, ended: rows };
  });
  for (const node of ended) events.publish({ type: 'account-ended', accountId: node.id });
  events.publish({ type: 'members-changed', organizationIds: [...before, ...after] });
}

/** Throws V6_REQUEST_NOT_FOUND. */
export async function getCollaboration(store: Store, wanted: number): Promise<CollaborationRecord> {
  const collaboration = await store.collaborations.find(wanted);
  if (collaboration === undefined) throw notFound('collaboration', wanted);
  return collaboration;
}

/** Undefined for all. */
function visibleCollaborations(identity: Identity): readonly number[] | undefined {
  const visible = visibleParties(identity, 'collaboration');
  if (visible.isAll) return undefined;
  return identity.kind === 'user' ? identity.collaborationIds : [identity.collaborationId];
}

async function membersOf(store: Store, collaborationId: number) {
  return (await store.organizations.list({ collaborationId }, ALL)).rows;
}

async function assertOrganizationsExist(store: Store, ids: readonly number[]): Promise<void> {
  for (const wanted of ids)
    if ((await store.organizations.find(wanted)) === undefined)
      throw notFound('organization', wanted);
}
