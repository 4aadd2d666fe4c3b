import type { Store } from '../interfaces/store.ts';
import { LARGEST_PAGE, listAll } from '../services/list-all.ts';
import type { Dropped } from './import-report.ts';
import { allNodes, allUsers } from './lookups.ts';

/** Removes every organization, user, collaboration, node, task and own role. Tables, fixed roles and the secret's mark stay. */
export async function dropAll(store: Store): Promise<Dropped> {
  const collaborations = await listAll((page) => store.collaborations.list({}, page));
  const organizations = await listAll((page) => store.organizations.list({}, page));
  const dropped = {
    organizations: organizations.length,
    users: (await allUsers(store)).length,
    collaborations: collaborations.length,
    nodes: (await allNodes(store)).length,
    tasks: (await store.tasks.list({}, { ...LARGEST_PAGE, limit: 1 })).total,
  };
  for (const { id } of collaborations) await store.collaborations.remove(id);
  for (const { id } of organizations) await store.organizations.remove(id);
  for (const role of await store.users.roles())
    if (!role.isDefault) await store.roles.remove(role.id);
  return dropped;
}
