import { V6Error } from '../../core/errors.ts';
import type { CollaborationRecord, OrganizationRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import type { Events } from './events.ts';
import { notFound } from './nodes.ts';
import type { VpnService } from './vpn.ts';

export interface PartyServiceDeps {
  readonly store: Store;
  readonly events: Events;
  readonly vpn: Pick<VpnService, 'release'> | undefined;
}

/** Throws V6_REQUEST_NOT_FOUND. */
export async function getOrganization(store: Store, id: number): Promise<OrganizationRecord> {
  const organization = await store.organizations.find(id);
  if (organization === undefined) throw notFound('organization', id);
  return organization;
}

/** Throws V6_REQUEST_NOT_FOUND. */
export async function getCollaboration(store: Store, id: number): Promise<CollaborationRecord> {
  const collaboration = await store.collaborations.find(id);
  if (collaboration === undefined) throw notFound('collaboration', id);
  return collaboration;
}

/** Ids of an organization and of all that it shares a collaboration with. */
export async function partnersOf(store: Store, organization: number): Promise<readonly number[]> {
  const ids = new Set([organization]);
  for (const collaboration of await store.collaborations.ofOrganization(organization))
    for (const member of await store.collaborations.members(collaboration)) ids.add(member);
  return [...ids];
}

/** True when the organization is in one of these collaborations. */
export async function sharesCollaboration(
  store: Store,
  collaborations: readonly number[],
  organization: number,
): Promise<boolean> {
  const theirs = await store.collaborations.ofOrganization(organization);
  return theirs.some((one) => collaborations.includes(one));
}

/** A collaboration with its members, or nothing. Throws V6_REQUEST_NOT_FOUND for an unknown organization, V6_REQUEST_CONFLICT. */
export async function createCollaboration(
  { store, events }: Omit<PartyServiceDeps, 'vpn'>,
  fields: Omit<CollaborationRecord, 'id'>,
  members: readonly number[],
): Promise<CollaborationRecord> {
  const id = await store.transaction(async (tx) => {
    await assertOrganizationsExist(tx, members);
    const created = await tx.collaborations.create(fields);
    await tx.collaborations.setMembers(created, members);
    return created;
  });
  events.publish({ type: 'members-changed', organizationIds: members });
  return getCollaboration(store, id);
}

/** Throws V6_REQUEST_NOT_FOUND. */
export async function assertOrganizationsExist(
  store: Store,
  ids: readonly number[],
): Promise<void> {
  for (const id of ids) await getOrganization(store, id);
}

/** Somebody would lose more than was asked for. */
export const depends = (message: string): V6Error =>
  new V6Error('V6_REQUEST_CONFLICT', message, {
    hints: ['Delete them first, or give delete_dependents=true.'],
  });
