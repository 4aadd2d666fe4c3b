import type { Store } from '../interfaces/store.ts';
import { getNode, notFound } from '../services/nodes.ts';
import { getCollaboration, getOrganization } from '../services/parties.ts';

/** Ids that lists are filtered by. */
export interface IdFilters {
  readonly organization_id?: number | undefined;
  readonly collaboration_id?: number | undefined;
  readonly study_id?: number | undefined;
  readonly node_id?: number | undefined;
  readonly user_id?: number | undefined;
  readonly init_org_id?: number | undefined;
  readonly init_user_id?: number | undefined;
}

/**
 * A list that found nothing because of an id that does not exist says so: an empty page would look like an answer. Only asked
 * when nothing was found, so that it costs nothing otherwise. Tasks and runs are no part of it: nodes ask for those of a task
 * that was just deleted, and nothing is the right answer then. Throws V6_REQUEST_NOT_FOUND.
 */
export async function assertFound(store: Store, wanted: IdFilters, total: number): Promise<void> {
  if (total > 0) return;
  for (const id of given(wanted.organization_id, wanted.init_org_id))
    await getOrganization(store, id);
  for (const id of given(wanted.collaboration_id)) await getCollaboration(store, id);
  for (const id of given(wanted.node_id)) await getNode(store, id);
  for (const id of given(wanted.study_id))
    if ((await store.studies.find(id)) === undefined) throw notFound('study', id);
  for (const id of given(wanted.user_id, wanted.init_user_id))
    if ((await store.users.find(id)) === undefined) throw notFound('user', id);
}

const given = (...ids: readonly (number | undefined)[]): readonly number[] =>
  ids.filter((id) => id !== undefined);
