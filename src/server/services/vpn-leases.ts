import type { NodeRecord, VpnGrantRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { listAll } from './list-all.ts';
import type { HeldLease } from './vpn-quota.ts';

/** What the portal gave for one node, without its tokens. */
export interface VpnLease extends HeldLease {
  readonly organizationId: number;
  readonly collaborationId: number;
  /** Tunnel address while the node is online. */
  readonly ip: string | null;
  readonly profile: string | null;
  readonly revokedAt: Date | undefined;
}

/** Of all nodes that hold something or may hold nothing, by node. */
export async function listLeases(store: Store): Promise<readonly VpnLease[]> {
  const grants = await store.vpnGrants.list();
  if (grants.length === 0) return [];
  const ids = grants.map(({ nodeId }) => nodeId);
  const nodes = await listAll((page) => store.nodes.list({ ids }, page));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  return grants.flatMap((grant) => {
    const node = byId.get(grant.nodeId);
    return node === undefined ? [] : [toLease(grant, node)];
  });
}

function toLease(grant: VpnGrantRecord, node: NodeRecord): VpnLease {
  const held = [grant.current, grant.previous].filter((tokens) => tokens !== null);
  return {
    nodeId: node.id,
    nodeName: node.name,
    organizationId: node.organizationId,
    collaborationId: node.collaborationId,
    configurations: held.length,
    issuedAt: grant.issuedAt ?? undefined,
    expiresAt: grant.expiresAt ?? undefined,
    isOnline: node.isOnline,
    lastSeenAt: node.lastSeenAt,
    ip: node.isOnline ? node.ip : null,
    profile: grant.profile,
    revokedAt: grant.revokedAt ?? undefined,
  };
}
