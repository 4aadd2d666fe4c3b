import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import { assertCanForCollaboration } from '../../auth/permissions.ts';
import { LARGEST_PAGE } from '../../services/list-all.ts';
import { getCollaboration } from '../../services/parties.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { id } from '../fields.ts';

const columnBody = z.strictObject({
  db_label: z.string().min(1).max(128),
  collaboration_id: id,
  organizations: z.array(z.object({ id })).min(1).max(1000),
  sheet_name: z.string().nullish(),
  query: z.string().nullish(),
});

/** Names of a database's columns, as nodes tell them. Upstream starts a task of its own where none does; we say so. */
export function registerColumnRoutes({ app, store }: Routes): void {
  app.post('/column', { schema: { body: columnBody } }, async (request) => {
    const user = callerOf(request, 'user');
    const { db_label: label, collaboration_id: collaborationId, organizations } = request.body;
    await getCollaboration(store, collaborationId);
    assertCanForCollaboration(user, 'task', 'create', collaborationId);
    const { rows: nodes } = await store.nodes.list(
      {
        collaborationIds: [collaborationId],
        organizationIds: organizations.map((organization) => organization.id),
      },
      LARGEST_PAGE,
    );
    for (const { config } of nodes) {
      const columns = config.filter(({ key }) => key === `columns_${label}`);
      if (columns.length > 0) return { columns: columns.map(({ value }) => value) };
    }
    throw new V6Error('V6_REQUEST_NOT_FOUND', `No node tells the columns of database ${label}`, {
      hints: ['Nodes tell them while they are online, of files that they can read.'],
    });
  });
}
