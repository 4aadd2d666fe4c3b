import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import type { Identity } from '../../auth/identity.ts';
import {
  assertCanForCollaboration,
  assertCanForNode,
  assertGlobal,
  forbidden,
  visibleParties,
} from '../../auth/permissions.ts';
import type { CollaborationRecord } from '../../interfaces/records.ts';
import type { Store } from '../../interfaces/store.ts';
import { listAll } from '../../services/list-all.ts';
import { moveNode } from '../../services/node-moves.ts';
import { getNode } from '../../services/nodes.ts';
import { createCollaboration, getCollaboration } from '../../services/parties.ts';
import { changeMembers, removeCollaboration, removeNode } from '../../services/removals.ts';
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
  algorithm_store_id: once(id).optional(),
  include,
});

/** Collaborations and who is in them. */
export function registerCollaborationRoutes(routes: Routes): void {
  registerReads(routes);
  registerWrites(routes);
  registerMembers(routes);
  registerNodes(routes);
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
    // No collaboration has a store on this server.
    const isNothing = request.query.algorithm_store_id !== undefined;
    const { rows, total } = await store.collaborations.list(
      {
        ids: isNothing ? [] : visibleCollaborations(identity),
        name: like,
        encrypted,
        organizationId,
      },
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

function registerWrites({ app, store, events, vpn, clock, render }: Routes): void {
  // 200 and not 201: upstream's client and ours read it so.
  app.post('/collaboration', { schema: { body: createBody } }, async (request) => {
    assertGlobal(callerOf(request, 'user'), 'collaboration', 'create');
    const { name: title, encrypted, organization_ids: members } = request.body;
    const fields = { name: title, encrypted };
    return render.collaboration(await createCollaboration({ store, events }, fields, members));
  });

  app.patch('/collaboration/:id', { schema: { params, body: patchBody } }, async (request) => {
    const user = callerOf(request, 'user');
    const { organization_ids: members, ...changes } = request.body;
    const collaboration = await getCollaboration(store, request.params.id);
    assertCanForCollaboration(user, 'collaboration', 'edit', collaboration.id);
    if (members !== undefined) {
      assertGlobal(user, 'collaboration', 'edit');
      await changeMembers({ store, events, vpn, clock }, collaboration.id, () => members);
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
      await removeCollaboration({ store, events, vpn, clock }, collaboration, {
        withDependents: request.query.delete_dependents,
      });
      return { msg: `Collaboration ${collaboration.id} is deleted` };
    },
  );
}

function registerMembers({ app, store, events, vpn, clock, render }: Routes): void {
  const body = z.strictObject({ id });
  const change =
    (next: (members: readonly number[], organization: number) => readonly number[]) =>
    async (request: { params: { id: number }; body: { id: number } } & Asked) => {
      const user = callerOf(request, 'user');
      const collaboration = await getCollaboration(store, request.params.id);
      assertCanForCollaboration(user, 'collaboration', 'edit', collaboration.id);
      const organization = request.body.id;
      await changeMembers({ store, events, vpn, clock }, collaboration.id, (now) =>
        next(now, organization),
      );
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

function registerNodes({ app, store, events, vpn, clock, render }: Routes): void {
  const schema = { params, body: z.strictObject({ id }) };
  app.post('/collaboration/:id/node', { schema }, async (request, reply) => {
    const user = callerOf(request, 'user');
    const collaboration = await getCollaboration(store, request.params.id);
    assertCanForCollaboration(user, 'collaboration', 'edit', collaboration.id);
    const node = await getNode(store, request.body.id);
    // It leaves the collaboration where it is.
    assertCanForCollaboration(user, 'collaboration', 'edit', node.collaborationId);
    await moveNode({ store, events }, node, collaboration.id);
    const inside = { collaborationIds: [collaboration.id] };
    const rows = await listAll((page) => store.nodes.list(inside, page));
    reply.code(201);
    return rows.map(render.node);
  });

  app.delete('/collaboration/:id/node', { schema }, async (request) => {
    const user = callerOf(request, 'user');
    const collaboration = await getCollaboration(store, request.params.id);
    assertCanForCollaboration(user, 'collaboration', 'edit', collaboration.id);
    const node = await getNode(store, request.body.id);
    if (node.collaborationId !== collaboration.id) {
      const message = `Node ${node.id} is not in collaboration ${collaboration.id}`;
      throw new V6Error('V6_REQUEST_INVALID', message, {
        details: { errors: { id: [`${message}.`] } },
      });
    }
    assertCanForNode(user, 'delete', node);
    await removeNode({ store, events, vpn, clock }, node);
    return { msg: `Node ${node.id} is deleted: a node is in one collaboration` };
  });
}

type Asked = Parameters<typeof callerOf>[0];

/** Ids of the collaborations that somebody sees; undefined for all. Throws V6_AUTH_FORBIDDEN. */
export function visibleCollaborations(identity: Identity): readonly number[] | undefined {
  const visible = visibleParties(identity, 'collaboration');
  if (visible.isAll) return undefined;
  return identity.kind === 'user' ? identity.collaborationIds : [identity.collaborationId];
}

async function membersOf(store: Store, collaborationId: number) {
  return listAll((page) => store.organizations.list({ collaborationId }, page));
}
