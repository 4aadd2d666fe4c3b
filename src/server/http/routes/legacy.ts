import { assertCanViewWork, forbidden } from '../../auth/permissions.ts';
import { listAll } from '../../services/list-all.ts';
import { getCollaboration } from '../../services/parties.ts';
import { getTask } from '../../services/tasks.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { params } from '../fields.ts';
import { visibleCollaborations } from './collaborations.ts';

/**
 * Two routes of vantage6 3.x, gone in 4.0, that algorithm images of that time ask through their node (vantage6 3.11 client,
 * ContainerClient): addresses and results of a task, and who works together. Both answer bare lists.
 */
export function registerLegacyRoutes({ app, store, render }: Routes): void {
  app.get('/task/:id/result', { schema: { params } }, async (request) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const task = await getTask(store, request.params.id);
    assertCanViewWork(identity, task, 'task');
    const runs = await listAll((page) => store.runs.list({ taskIds: [task.id] }, page));
    // A run and its result were one record then.
    return runs.map((run) => ({ ...render.run(run), result: run.result }));
  });

  app.get('/collaboration/:id/organization', { schema: { params } }, async (request) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const { id: collaborationId } = await getCollaboration(store, request.params.id);
    if (visibleCollaborations(identity)?.includes(collaborationId) === false)
      throw forbidden('You may not view this collaboration');
    const organizations = await listAll((page) =>
      store.organizations.list({ collaborationId }, page),
    );
    return organizations.map(render.organization);
  });
}
