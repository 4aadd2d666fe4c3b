import type { Kysely } from 'kysely';
import type { CollaborationRecord } from '../../server/interfaces/records.ts';
import type { CollaborationStore } from '../../server/interfaces/store.ts';
import { listPage, matches, NOTHING } from './listing.ts';
import type { Schema } from './schema.ts';

const COLUMNS = ['collaboration.id', 'collaboration.name', 'collaboration.encrypted'] as const;
const SORTABLE = { id: 'collaboration.id', name: 'collaboration.name' };

const toRecord = (row: { id: number; name: string; encrypted: number }): CollaborationRecord => ({
  id: row.id,
  name: row.name,
  encrypted: row.encrypted === 1,
});

export function collaborationStore(db: Kysely<Schema>): CollaborationStore {
  return {
    find: async (id) => {
      const row = await db
        .selectFrom('collaboration')
        .select(COLUMNS)
        .where('id', '=', id)
        .executeTakeFirst();
      return row && toRecord(row);
    },

    list: async (filter, page) => {
      let query = db.selectFrom('collaboration').select(COLUMNS);
      const { ids, name, encrypted, organizationId } = filter;
      if (ids !== undefined)
        query = query.where('collaboration.id', 'in', ids.length > 0 ? ids : NOTHING);
      if (name !== undefined) query = query.where(matches(db, 'collaboration.name', name));
      if (encrypted !== undefined)
        query = query.where('collaboration.encrypted', '=', Number(encrypted));
      if (organizationId !== undefined) {
        query = query.where('collaboration.id', 'in', (eb) =>
          eb
            .selectFrom('member')
            .select('member.collaboration_id')
            .where('member.organization_id', '=', organizationId),
        );
      }
      const { rows, total } = await listPage(query, {
        page,
        sortable: SORTABLE,
        id: { column: 'collaboration.id', descending: false },
      });
      return { rows: rows.map(toRecord), total };
    },

    create: async ({ name, encrypted }) => {
      const { id } = await db
        .insertInto('collaboration')
        .values({ name, encrypted: Number(encrypted) })
        .returning('id')
        .executeTakeFirstOrThrow();
      return id;
    },

    update: async (id, { name, encrypted }) => {
      const values = {
        ...(name === undefined ? {} : { name }),
        ...(encrypted === undefined ? {} : { encrypted: Number(encrypted) }),
      };
      if (Object.keys(values).length === 0) return;
      await db.updateTable('collaboration').set(values).where('id', '=', id).execute();
    },

    remove: async (id) => {
      await db
        .deleteFrom('authenticatable')
        .where('id', 'in', (eb) =>
          eb.selectFrom('node').select('node.id').where('node.collaboration_id', '=', id),
        )
        .execute();
      await db.deleteFrom('collaboration').where('id', '=', id).execute();
    },

    members: async (id) => {
      const rows = await db
        .selectFrom('member')
        .select('organization_id')
        .where('collaboration_id', '=', id)
        .orderBy('organization_id')
        .execute();
      return rows.map((row) => row.organization_id);
    },

    ofOrganization: async (organization) => {
      const rows = await db
        .selectFrom('member')
        .select('collaboration_id')
        .where('organization_id', '=', organization)
        .orderBy('collaboration_id')
        .execute();
      return rows.map((row) => row.collaboration_id);
    },

    setMembers: async (id, organizations) => {
      await db.deleteFrom('member').where('collaboration_id', '=', id).execute();
      if (organizations.length === 0) return;
      await db
        .insertInto('member')
        .values(organizations.map((organization_id) => ({ organization_id, collaboration_id: id })))
        .execute();
    },
  };
}
