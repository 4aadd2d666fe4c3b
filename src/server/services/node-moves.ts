import { V6Error } from '../../core/errors.ts';
import type { NodeRecord } from '../interfaces/records.ts';
import type { NodeServiceDeps } from './nodes.ts';

/**
 * Puts a node into another collaboration. Its connections end, for everything it knew is of the old one; it comes back with
 * the same key. Throws V6_REQUEST_INVALID (its organization is no member), V6_REQUEST_CONFLICT (it is there already, works on
 * something, or the organization has a node there).
 */
export async function moveNode(
  { store, events }: Pick<NodeServiceDeps, 'store' | 'events'>,
  node: NodeRecord,
  collaborationId: number,
): Promise<void> {
  if (node.collaborationId === collaborationId) {
    throw new V6Error(
      'V6_REQUEST_CONFLICT',
      `Node ${node.id} is in collaboration ${collaborationId} already`,
    );
  }
  await store.transaction(async (tx) => {
    const members = await tx.collaborations.members(collaborationId);
    if (!members.includes(node.organizationId)) {
      const message = `Organization ${node.organizationId} of the node is not in collaboration ${collaborationId}`;
      throw new V6Error('V6_REQUEST_INVALID', message, {
        hints: ['Add the organization to the collaboration first.'],
        details: { errors: { id: [`${message}.`] } },
      });
    }
    const open = await tx.runs.list(
      {
        organizationId: node.organizationId,
        collaborationIds: [node.collaborationId],
        isOpen: true,
      },
      { offset: 0, limit: 1, sort: [] },
    );
    if (open.total > 0) {
      throw new V6Error('V6_REQUEST_CONFLICT', `Node ${node.id} has ${open.total} open runs`, {
        hints: ['Wait for them, or end them first: POST /kill/node/tasks.'],
      });
    }
    await tx.nodes.update(node.id, { collaborationId, ip: null, config: [], endTokens: true });
  });
  events.publish({ type: 'account-ended', accountId: node.id });
}
