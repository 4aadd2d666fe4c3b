import type { Identity } from '../auth/identity.ts';
import { scopeOf } from '../auth/rules.ts';

/** Names of the rooms. Upstream's names where it has them; users have rooms of their own, since logs are not for other nodes. */
export const room = {
  /** Nodes and users of a collaboration. */
  collaboration: (id: number): string => `collaboration_${id}`,
  /** What concerns one organization in a collaboration. */
  organization: (collaboration: number, organization: number): string =>
    `collaboration_${collaboration}_organization_${organization}`,
  /** Users of a collaboration. */
  users: (collaboration: number): string => `collaboration_${collaboration}_users`,
  /** Users who may see everything, of collaborations that do not exist yet too. */
  everything: 'all_collaborations',
  account: (id: number): string => `account_${id}`,
  organizationUsers: (id: number): string => `organization_${id}_users`,
} as const;

/** The rooms that somebody belongs in now. */
export function roomsOf(identity: Identity): readonly string[] {
  if (identity.kind === 'container') return [];
  const own = [room.account(identity.id)];
  if (identity.kind === 'node') {
    const { collaborationId, organizationId } = identity;
    return [
      ...own,
      room.collaboration(collaborationId),
      room.organization(collaborationId, organizationId),
    ];
  }
  const mine = [...own, room.organizationUsers(identity.organizationId)];
  const scope = scopeOf(identity.rules, 'event', 'receive');
  if (scope === 'global') return [...mine, room.everything];
  for (const collaboration of identity.collaborationIds) {
    if (scope === 'collaboration')
      mine.push(room.collaboration(collaboration), room.users(collaboration));
    if (scope === 'organization')
      mine.push(room.organization(collaboration, identity.organizationId));
  }
  return mine;
}
