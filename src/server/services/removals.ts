import type { CollaborationRecord, OrganizationRecord } from '../interfaces/records.ts';
import { closeTasks } from './kills.ts';
import { depends, endNodes, type PartyServiceDeps } from './parties.ts';
import { listAll, type TaskServiceDeps } from './tasks.ts';

export type RemovalDeps = PartyServiceDeps & TaskServiceDeps;

export interface RemovalOptions {
  /** Also what depends on it goes. What of that still runs is killed first. */
  readonly withDependents: boolean;
}

const WHOLE = { offset: 0, limit: 1000, sort: [] } as const;
const ONE = { offset: 0, limit: 1, sort: [] } as const;

/** Throws V6_REQUEST_CONFLICT when something depends on it, unless `withDependents`. */
export async function removeCollaboration(
  deps: RemovalDeps,
  { id }: CollaborationRecord,
  options: RemovalOptions,
): Promise<void> {
  const { store } = deps;
  const inside = { collaborationIds: [id] };
  const nodes = await listAll((offset) => store.nodes.list(inside, { ...WHOLE, offset }));
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
  const users = await listAll((offset) => store.users.list(own, { ...WHOLE, offset }));
  const tasks = await store.tasks.list({ initOrganizationId: id }, ONE);
  if (!options.withDependents && collaborations.length + users.length + tasks.total > 0)
    throw depends('The organization has collaborations, users or tasks');
  // They run at others too, whose nodes would go on with what nobody can read any more.
  await closeTasks(deps, { initOrganizationId: id });
  const nodes = await listAll((offset) => store.nodes.list(own, { ...WHOLE, offset }));
  await endNodes(deps, nodes);
  await store.transaction((tx) => tx.organizations.remove(id));
  for (const user of users) events.publish({ type: 'account-ended', accountId: user.id });
}
