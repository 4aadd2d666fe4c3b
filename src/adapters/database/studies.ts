import type { Kysely } from 'kysely';
import type { StudyStore } from '../../server/interfaces/rights-store.ts';
import { listPage, matches, NOTHING } from './listing.ts';
import type { Schema } from './schema.ts';

const COLUMNS = ['study.id', 'study.name', 'study.collaboration_id as collaborationId'] as const;
const SORTABLE = {
  id: 'study.id',
  name: 'study.name',
  collaboration_id: 'study.collaboration_id',
};

const orNothing = (ids: readonly number[]): readonly number[] => (ids.length > 0 ? ids : NOTHING);

export function studyStore(db: Kysely<Schema>): StudyStore {
  const ofMember = (organization: number) =>
    db.selectFrom('study_member').select('study_id').where('organization_id', '=', organization);
  return {
    find: (id) =>
      db.selectFrom('study').select(COLUMNS).where('study.id', '=', id).executeTakeFirst(),

    list: (filter, page) => {
      let query = db.selectFrom('study').select(COLUMNS);
      const { ids, name, organizationId, memberId, collaborationIds } = filter;
      if (ids !== undefined) query = query.where('study.id', 'in', orNothing(ids));
      if (name !== undefined) query = query.where(matches(db, 'study.name', name));
      if (organizationId !== undefined)
        query = query.where('study.id', 'in', ofMember(organizationId));
      if (memberId !== undefined) query = query.where('study.id', 'in', ofMember(memberId));
      if (collaborationIds !== undefined)
        query = query.where('study.collaboration_id', 'in', orNothing(collaborationIds));
      return listPage(query, {
        page,
        sortable: SORTABLE,
        id: { column: 'study.id', descending: false },
      });
    },

    create: async ({ name, collaborationId }) => {
      const { id } = await db
        .insertInto('study')
        .values({ name, collaboration_id: collaborationId })
        .returning('id')
        .executeTakeFirstOrThrow();
      return id;
    },

    rename: async (id, name) => {
      await db.updateTable('study').set({ name }).where('id', '=', id).execute();
    },

    remove: async (id) => {
      await db.deleteFrom('study').where('id', '=', id).execute();
    },

    members: async (id) => {
      const rows = await db
        .selectFrom('study_member')
        .select('organization_id')
        .where('study_id', '=', id)
        .orderBy('organization_id')
        .execute();
      return rows.map((row) => row.organization_id);
    },

    setMembers: async (id, organizations) => {
      await db.deleteFrom('study_member').where('study_id', '=', id).execute();
      if (organizations.length === 0) return;
      await db
        .insertInto('study_member')
        .values(organizations.map((organization_id) => ({ study_id: id, organization_id })))
        .execute();
    },

    removeMembers: async (collaboration, organizations) => {
      if (organizations.length === 0) return;
      await db
        .deleteFrom('study_member')
        .where('organization_id', 'in', organizations)
        .where('study_id', 'in', (eb) =>
          eb.selectFrom('study').select('study.id').where('collaboration_id', '=', collaboration),
        )
        .execute();
    },
  };
}
