import { z } from 'zod';
import type { Identity } from '../../auth/identity.ts';
import {
  assertCanForNode,
  assertOwnNode,
  forbidden,
  visibleParties,
} from '../../auth/permissions.ts';
import type { NodeRecord } from '../../interfaces/records.ts';
import { createNode, getNode, patchNode } from '../../services/nodes.ts';
import { removeNode } from '../../services/removals.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { flag, id, ipv4, listQuery, moment, name, once, params, pattern } from '../fields.ts';
import { assertFound } from '../filters.ts';
import { pageRequest, sendPage } from '../paging.ts';

const createBody = z.strictObject({
  collaboration_id: id,
  organization_id: id.nullish(),
  name: name.nullish(),
});
const patchBody = z.strictObject({
  name: name.optional(),
  ip: ipv4.optional(),
  clear_ip: flag.optional(),
});
const query = listQuery({
  name: once(pattern).optional(),
  organization_id: once(id).optional(),
  collaboration_id: once(id).optional(),
  study_id: once(id).optional(),
  status: once(z.enum(['online', 'offline'])).optional(),
  ip: once(ipv4).optional(),
  last_seen_from: once(moment).optional(),
  last_seen_till: once(moment).optional(),
});

/** Nodes: a user registers and removes them, a node tells its tunnel address. */
export function registerNodeRoutes(routes: Routes): void {
  registerReads(routes);
  registerWrites(routes);
}

function registerReads({ app, store, render }: Routes): void {
  app.get('/node', { schema: { querystring: query } }, async (request, reply) => {
    const identity = callerOf(request, 'user', 'node');
    const { organization_id, collaboration_id, status } = request.query;
    const visible = visibleNodes(identity);
    const rows = await store.nodes.list(
      {
        name: request.query.name,
        ip: request.query.ip,
        studyId: request.query.study_id,
        lastSeen: { from: request.query.last_seen_from, till: request.query.last_seen_till },
        isOnline: status === undefined ? undefined : status === 'online',
        organizationIds: both(visible.organizationIds, organization_id),
        collaborationIds: both(visible.collaborationIds, collaboration_id),
      },
      pageRequest(request.query),
    );
    await assertFound(store, request.query, rows.total);
    return sendPage(request, reply, { query: request.query, rows, render: render.node });
  });

  app.get('/node/:id', { schema: { params } }, async (request) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const node = await getNode(store, request.params.id);
    if (!isVisible(identity, node)) throw forbidden('You may not view this node');
    return render.node(node);
  });
}

function registerWrites({ app, store, events, render, vpn, clock, apiKeyDigestKey }: Routes): void {
  app.post('/node', { schema: { body: createBody } }, async (request, reply) => {
    const user = callerOf(request, 'user');
    const { collaboration_id: collaborationId, name: title } = request.body;
    const organizationId = request.body.organization_id ?? user.organizationId;
    assertCanForNode(user, 'create', { organizationId, collaborationId });
    const { node, apiKey } = await createNode(
      { store, apiKeyDigestKey },
      { organizationId, collaborationId, name: title ?? undefined },
    );
    reply.code(201);
    return { ...render.node(node), api_key: apiKey };
  });

  app.patch('/node/:id', { schema: { params, body: patchBody } }, async (request) => {
    const identity = callerOf(request, 'user', 'node');
    const node = await getNode(store, request.params.id);
    const { ip, clear_ip: clear, name: title } = request.body;
    if (identity.kind === 'node') {
      assertOwnNode(identity, node);
      if (title !== undefined) throw forbidden('A node cannot rename itself');
    } else {
      assertCanForNode(identity, 'edit', node);
      if (ip !== undefined) throw forbidden('Only the node itself knows its tunnel address');
    }
    const changes = { name: title, ip: ip ?? (clear === true ? null : undefined) };
    return render.node(await patchNode({ store, events }, node, changes));
  });

  app.delete('/node/:id', { schema: { params } }, async (request) => {
    const user = callerOf(request, 'user');
    const node = await getNode(store, request.params.id);
    assertCanForNode(user, 'delete', node);
    await removeNode({ store, events, vpn, clock }, node);
    return { msg: `Node ${node.id} is deleted` };
  });
}

interface VisibleNodes {
  readonly organizationIds: readonly number[] | undefined;
  readonly collaborationIds: readonly number[] | undefined;
}

/** Undefined: not limited. */
function visibleNodes(identity: Identity): VisibleNodes {
  const visible = visibleParties(identity, 'node');
  if (visible.isAll) return { organizationIds: undefined, collaborationIds: undefined };
  if (visible.collaborationIds !== undefined)
    return { organizationIds: undefined, collaborationIds: visible.collaborationIds };
  return {
    organizationIds: visible.organizationId === undefined ? [] : [visible.organizationId],
    collaborationIds: undefined,
  };
}

function isVisible(identity: Identity, node: NodeRecord): boolean {
  const { organizationIds, collaborationIds } = visibleNodes(identity);
  return (
    organizationIds?.includes(node.organizationId) !== false &&
    collaborationIds?.includes(node.collaborationId) !== false
  );
}

/** What somebody sees, narrowed to what they ask for. */
function both(
  visible: readonly number[] | undefined,
  wanted: number | undefined,
): readonly number[] | undefined {
  if (wanted === undefined) return visible;
  return visible === undefined || visible.includes(wanted) ? [wanted] : [];
}
