import type { CollaborationRecord, NodeRecord, OrganizationRecord } from '../interfaces/records.ts';
import { closeRunsOfNode, closeTasks } from './kills.ts';
import { listAll } from './list-all.ts';
import { releaseVpn } from './nodes.ts';
import { assertOrganizationsExist, depends, type PartyServiceDeps } from './parties.ts';
import { type TaskServiceDeps } from './tasks.ts';

export type RemovalDeps = PartyServiceDeps & TaskServiceDeps;

export interface RemovalOptions {
  /** Also what depends on it goes. What of that still runs is killed first. */
  readonly withDependents: boolean;
}

const ONE = { offset: 0, limit: 1, sort: [] } as const;

/** Throws V6_REQUEST_CONFLICT when something depends on it, unless `withDependents`. */
export async function removeCollaboration(
  deps: RemovalDeps,
  { id }: CollaborationRecord,
  options: RemovalOptions,
): Promise<void> {
  const { store } = deps;
  const inside = { collaborationIds: [id] };
  const nodes = await listAll((page) => store.nodes.list(inside, page));
  const tasks = await store.tasks.list(inside, ONE);
  const studies = await store.studies.list(inside, ONE);
  if (!options.withDependents && nodes.length + tasks.total + studies.total > 0)
    throw depends('The collaboration has nodes, tasks or studies');
  await closeTasks(deps, inside);
  await endNodes(deps, nodes);
  await store.transaction((tx) => tx.collaborations.remove(id));
}

/** Throws V6_REQUEST_CONFLICT when something depends on it, unless `withDependents`. */
export async function removeOrganization(
  deps: RemovalDeps,
  { id }: OrganizationRecord,
  options: RemovalOptions,
): Promise<void> {
  const { store, events } = deps;
  const own = { organizationIds: [id] };
  const collaborations = await store.collaborations.ofOrganization(id);
  const users = await listAll((page) => store.users.list(own, page));
  const tasks = await store.tasks.list({ initOrganizationId: id }, ONE);
  if (!options.withDependents && collaborations.length + users.length + tasks.total > 0)
    throw depends('The organization has collaborations, users or tasks');
  // They run at others too, whose nodes would go on with what nobody can read any more.
  await closeTasks(deps, { initOrganizationId: id });
  const nodes = await listAll((page) => store.nodes.list(own, page));
  await endNodes(deps, nodes);
  await store.transaction((tx) => tx.organizations.remove(id));
  for (const user of users) events.publish({ type: 'account-ended', accountId: user.id });
}

/** Its open runs end, for nobody else could; its VPN authorization goes back to the portal as far as that answers. */
export async function removeNode(deps: RemovalDeps, node: NodeRecord): Promise<void> {
  await endNodes(deps, [node]);
  await deps.store.nodes.remove(node.id);
}

/** An organization that leaves takes its node along. Throws V6_REQUEST_NOT_FOUND. */
export async function changeMembers(
  deps: RemovalDeps,
  collaboration: number,
  next: (members: readonly number[]) => readonly number[],
): Promise<void> {
  const { store, events } = deps;
  const { before, after, ended } = await store.transaction(async (tx) => {
    const members = await tx.collaborations.members(collaboration);
    const wanted = next(members);
    await assertOrganizationsExist(tx, wanted);
    const leaving = members.filter((member) => !wanted.includes(member));
    const filter = { organizationIds: leaving, collaborationIds: [collaboration] };
    const rows = await listAll((page) => tx.nodes.list(filter, page));
    await tx.collaborations.setMembers(collaboration, wanted);
    await tx.studies.removeMembers(collaboration, leaving);
    return { before: members, after: wanted, ended: rows };
  });
  for (const node of ended) await removeNode(deps, node);
  events.publish({ type: 'members-changed', organizationIds: [...before, ...after] });
}

/** Their runs and connections end, and their VPN is given back. */
async function endNodes(deps: RemovalDeps, nodes: readonly NodeRecord[]): Promise<void> {
  for (const node of nodes) {
    await closeRunsOfNode(deps, node);
    await releaseVpn(deps.vpn, node.id);
    deps.events.publish({ type: 'account-ended', accountId: node.id });
  }
}
