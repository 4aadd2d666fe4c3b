import { V6Error } from '../../core/errors.ts';
import { apiKeyDigest, newApiKey } from '../auth/api-keys.ts';
import type { NodeRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { createNode } from '../services/nodes.ts';
import { markOutsideChange } from '../services/outside-changes.ts';
import {
  allNodes,
  collaborationsByName,
  getCollaborationBy,
  getNodeBy,
  getOrganizationBy,
  organizationsByName,
} from './lookups.ts';

/** A node as the command line shows it. */
export interface ShownNode {
  readonly id: number;
  readonly name: string;
  readonly organization: string;
  readonly collaboration: string;
  readonly online: boolean;
  readonly ip: string | null;
  /** ISO 8601; null when never. */
  readonly lastSeen: string | null;
}

export async function listNodes(store: Store): Promise<readonly ShownNode[]> {
  return showAll(store, await allNodes(store));
}

async function showAll(store: Store, nodes: readonly NodeRecord[]): Promise<readonly ShownNode[]> {
  const nameIn = (all: ReadonlyMap<string, { readonly id: number; readonly name: string }>) => {
    const names = new Map([...all.values()].map(({ id, name }) => [id, name]));
    return (id: number): string => names.get(id) ?? String(id);
  };
  const organization = nameIn(await organizationsByName(store));
  const collaboration = nameIn(await collaborationsByName(store));
  return nodes.map((node) => ({
    id: node.id,
    name: node.name,
    organization: organization(node.organizationId),
    collaboration: collaboration(node.collaborationId),
    online: node.isOnline,
    ip: node.ip,
    lastSeen: node.lastSeenAt?.toISOString() ?? null,
  }));
}

export interface NodeAdminDeps {
  readonly store: Store;
  readonly apiKeyDigestKey: Buffer;
  /** Takes the key before the database does: one that nobody can read would lock the node out. Throws V6_CONFIG_WRITE. */
  readonly keepKey: (apiKey: string) => Promise<void>;
}

export interface NewNode {
  /** Names or numbers. */
  readonly organization: string;
  readonly collaboration: string;
  /** Default: that of the organization and the collaboration, as upstream has it. */
  readonly name: string | undefined;
}

/** The node of an organization in a collaboration, which it joins when it is not in it. Throws V6_REQUEST_NOT_FOUND, V6_REQUEST_CONFLICT. */
export async function addNode(deps: NodeAdminDeps, wanted: NewNode): Promise<ShownNode> {
  const { store, apiKeyDigestKey } = deps;
  const organization = await getOrganizationBy(store, wanted.organization);
  const collaboration = await getCollaborationBy(store, wanted.collaboration);
  const place = { organizationId: organization.id, collaborationId: collaboration.id };
  const nodes = await allNodes(store);
  const present = nodes.find(
    (node) => node.organizationId === organization.id && node.collaborationId === collaboration.id,
  );
  if (present !== undefined) {
    throw new V6Error(
      'V6_REQUEST_CONFLICT',
      `${organization.name} has the node ${JSON.stringify(present.name)} in ${collaboration.name} already`,
      { hints: [`For a new key: v6 server node reset-key ${present.id}`] },
    );
  }
  const apiKey = newApiKey();
  await deps.keepKey(apiKey);
  const { name } = wanted;
  const id = await store.transaction(async (tx) => {
    await markOutsideChange(tx.meta);
    const members = await tx.collaborations.members(collaboration.id);
    if (!members.includes(organization.id))
      await tx.collaborations.setMembers(collaboration.id, [...members, organization.id]);
    const made = await createNode({ store: tx, apiKeyDigestKey }, { ...place, name, apiKey });
    return made.node.id;
  });
  return getShown(store, String(id));
}

/** A new key; the old one, its tokens and its connections end. Throws V6_REQUEST_NOT_FOUND. */
export async function resetNodeKey(deps: NodeAdminDeps, nameOrId: string): Promise<ShownNode> {
  const { store, apiKeyDigestKey } = deps;
  const { id } = await getNodeBy(store, nameOrId);
  const apiKey = newApiKey();
  await deps.keepKey(apiKey);
  await store.transaction(async (tx) => {
    await markOutsideChange(tx.meta);
    const digest = apiKeyDigest(apiKeyDigestKey, apiKey);
    await tx.nodes.update(id, { apiKeyDigest: digest, endTokens: true });
  });
  return getShown(store, String(id));
}

/** Throws V6_REQUEST_NOT_FOUND. */
export async function getShown(store: Store, nameOrId: string): Promise<ShownNode> {
  const [shown] = await showAll(store, [await getNodeBy(store, nameOrId)]);
  if (shown === undefined) throw new TypeError('a node that was found is gone');
  return shown;
}
