import { randomBytes } from 'node:crypto';
import { isV6Error, V6Error } from '../../core/errors.ts';
import { ipv4ToNumber } from '../../core/net/ipv4.ts';
import { apiKeyDigest, newApiKey } from '../auth/api-keys.ts';
import type { NodeRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import type { Events } from './events.ts';
import { LARGEST_PAGE } from './list-all.ts';
import type { VpnService } from './vpn.ts';

export interface NodeServiceDeps {
  readonly store: Store;
  readonly events: Events;
  readonly apiKeyDigestKey: Buffer;
  readonly vpn: Pick<VpnService, 'release'> | undefined;
}

/** Makes the node of an organization in a collaboration; the key is in this answer and nowhere else. Throws V6_REQUEST_NOT_FOUND, _INVALID, _CONFLICT. */
export async function createNode(
  deps: Pick<NodeServiceDeps, 'store' | 'apiKeyDigestKey'>,
  input: {
    readonly organizationId: number;
    readonly collaborationId: number;
    readonly name: string | undefined;
    /** A UUID in lower case; generated when left out. */
    readonly apiKey?: string | undefined;
  },
): Promise<{ readonly node: NodeRecord; readonly apiKey: string }> {
  const { organizationId, collaborationId } = input;
  const apiKey = input.apiKey ?? newApiKey();
  const id = await deps.store.transaction(async (store) => {
    const collaboration = await store.collaborations.find(collaborationId);
    const organization = await store.organizations.find(organizationId);
    if (collaboration === undefined) throw notFound('collaboration', collaborationId);
    if (organization === undefined) throw notFound('organization', organizationId);
    const members = await store.collaborations.members(collaborationId);
    if (!members.includes(organizationId)) {
      throw new V6Error(
        'V6_REQUEST_INVALID',
        `Organization ${organizationId} is not in collaboration ${collaborationId}`,
        { hints: ['Add it to the collaboration first.'] },
      );
    }
    const name = input.name ?? `${organization.name} - ${collaboration.name} Node`;
    return store.nodes.create({
      name,
      organizationId,
      collaborationId,
      apiKeyDigest: apiKeyDigest(deps.apiKeyDigestKey, apiKey),
      vpnId: newVpnId(name),
    });
  });
  return { node: await getNode(deps.store, id), apiKey };
}

/** Who a node is to the portal, for good: its name when it was made, so that people can read it, and eight digits that no other has. */
function newVpnId(name: string): string {
  const readable = name.replaceAll(/[^A-Za-z0-9._-]+/g, '-').slice(0, 100);
  return `${readable}-${randomBytes(4).toString('hex')}`;
}

/** Throws V6_REQUEST_NOT_FOUND. */
export async function getNode(store: Store, id: number): Promise<NodeRecord> {
  const node = await store.nodes.find(id);
  if (node === undefined) throw notFound('node', id);
  return node;
}

export function notFound(what: string, id: number): V6Error {
  return new V6Error('V6_REQUEST_NOT_FOUND', `There is no ${what} with id ${id}`);
}

/**
 * Name and tunnel address. An address belongs to one node of a collaboration at a time: one that is online keeps it, from one
 * that is offline it is taken. Throws V6_REQUEST_INVALID, V6_REQUEST_CONFLICT.
 */
export async function patchNode(
  deps: Pick<NodeServiceDeps, 'store' | 'events'>,
  node: NodeRecord,
  changes: { readonly name?: string | undefined; readonly ip?: string | null | undefined },
): Promise<NodeRecord> {
  const { name, ip } = changes;
  if (typeof ip === 'string') assertTunnelAddress(ip);
  const moved = await deps.store.transaction(async (store) => {
    const robbed = typeof ip === 'string' ? await freeAddress(store, node, ip) : [];
    await store.nodes.update(node.id, { name, ip });
    return ip === undefined || ip === node.ip ? robbed : [node, ...robbed];
  });
  await tellOfAddresses(deps, moved);
  return getNode(deps.store, node.id);
}

/**
 * Nodes let each other in by address: they hear of a new one at once, where a node has runs. A thousand nodes that come back
 * without runs are nobody's news.
 */
async function tellOfAddresses(
  { store, events }: Pick<NodeServiceDeps, 'store' | 'events'>,
  moved: readonly NodeRecord[],
): Promise<void> {
  for (const { id, organizationId, collaborationId } of moved) {
    const filter = { organizationId, collaborationIds: [collaborationId], isOpen: true };
    const { rows } = await store.runs.list(filter, { ...LARGEST_PAGE, limit: 1 });
    if (rows.length > 0) events.publish({ type: 'address-changed', collaborationId, nodeId: id });
  }
}

/** Resolves with the nodes that had the address. */
async function freeAddress(
  store: Store,
  node: NodeRecord,
  ip: string,
): Promise<readonly NodeRecord[]> {
  const filter = { ip, collaborationIds: [node.collaborationId] };
  const { rows } = await store.nodes.list(filter, LARGEST_PAGE);
  const others = rows.filter((row) => row.id !== node.id);
  for (const other of others) {
    if (other.isOnline) {
      throw new V6Error('V6_REQUEST_CONFLICT', `Node ${other.name} has the address ${ip}`, {
        hints: ['Two nodes must not share a VPN account that gives both the same address.'],
      });
    }
    await store.nodes.update(other.id, { ip: null });
  }
  return others;
}

function assertTunnelAddress(ip: string): void {
  const number = ipv4ToNumber(ip) ?? 0;
  const first = Math.floor(number / 2 ** 24);
  const isLinkLocal = Math.floor(number / 2 ** 16) === 169 * 256 + 254;
  if (first >= 1 && first < 224 && first !== 127 && !isLinkLocal) return;
  throw new V6Error('V6_REQUEST_INVALID', `${ip} cannot be a tunnel address`, {
    details: { errors: { ip: ['An IPv4 address of the VPN.'] } },
  });
}

/** A new key; the old one, its tokens and its connections end. */
export async function resetApiKey(
  { store, events, apiKeyDigestKey }: Omit<NodeServiceDeps, 'vpn'>,
  node: NodeRecord,
): Promise<string> {
  const apiKey = newApiKey();
  await store.nodes.update(node.id, {
    apiKeyDigest: apiKeyDigest(apiKeyDigestKey, apiKey),
    endTokens: true,
  });
  events.publish({ type: 'account-ended', accountId: node.id });
  return apiKey;
}

/** As far as the portal answers: it ends the authorization by itself one day, and one that is away must not hold up a removal. */
export async function releaseVpn(
  vpn: Pick<VpnService, 'release'> | undefined,
  nodeId: number,
): Promise<void> {
  try {
    await vpn?.release(nodeId);
  } catch (error) {
    if (!isV6Error(error)) throw error;
  }
}
