import type { Store } from '../interfaces/store.ts';
import { getNode, notFound } from '../services/nodes.ts';

/** Ids that lists are filtered by, and that have to exist. */
export interface IdFilters {
  readonly study_id?: number | undefined;
  readonly node_id?: number | undefined;
  readonly user_id?: number | undefined;
  readonly init_user_id?: number | undefined;
}

/**
 * A list that found nothing because of an id that does not exist says so: an empty page would look like an answer. Only asked
 * when nothing was found, so that it costs nothing otherwise. Organizations, collaborations, tasks and runs give an empty page,
 * as upstream does: clients ask for those of a task that was just deleted, and nothing is the right answer then.
 * Throws V6_REQUEST_NOT_FOUND.
 */
export async function assertFound(store: Store, wanted: IdFilters, total: number): Promise<void> {
  if (total > 0) return;
  const { study_id: study, node_id: node } = wanted;
  if (node !== undefined) await getNode(store, node);
  if (study !== undefined && (await store.studies.find(study)) === undefined)
    throw notFound('study', study);
  for (const id of [wanted.user_id, wanted.init_user_id])
    if (id !== undefined && (await store.users.find(id)) === undefined) throw notFound('user', id);
}
