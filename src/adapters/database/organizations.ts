import type { Kysely } from 'kysely';
import type { OrganizationStore } from '../../server/interfaces/store.ts';
import { listPage, matches, NOTHING } from './listing.ts';
import type { Schema } from './schema.ts';

const COLUMNS = [
  'organization.id',
  'organization.name',
  'organization.domain',
  'organization.address1',
  'organization.address2',
  'organization.zipcode',
  'organization.country',
  'organization.public_key as publicKey',
] as const;

const SORTABLE = {
  id: 'organization.id',
  name: 'organization.name',
  country: 'organization.country',
};

export function organizationStore(db: Kysely<Schema>): OrganizationStore {
  return {
    find: (id) =>
      db.selectFrom('organization').select(COLUMNS).where('id', '=', id).executeTakeFirst(),

    list: (filter, page) => {
      let query = db.selectFrom('organization').select(COLUMNS);
      const { ids, name, country, collaborationId, studyId } = filter;
      if (ids !== undefined)
        query = query.where('organization.id', 'in', ids.length > 0 ? ids : NOTHING);
      if (name !== undefined) query = query.where(matches(db, 'organization.name', name));
      if (country !== undefined) query = query.where('organization.country', '=', country);
      if (collaborationId !== undefined) {
        query = query.where('organization.id', 'in', (eb) =>
          eb
            .selectFrom('member')
            .select('member.organization_id')
            .where('member.collaboration_id', '=', collaborationId),
        );
      }
      if (studyId !== undefined) {
        query = query.where('organization.id', 'in', (eb) =>
          eb.selectFrom('study_member').select('organization_id').where('study_id', '=', studyId),
        );
      }
      return listPage(query, {
        page,
        sortable: SORTABLE,
        id: { column: 'organization.id', descending: false },
      });
    },

    create: async ({ publicKey, ...fields }) => {
      const { id } = await db
        .insertInto('organization')
        .values({ ...fields, public_key: publicKey })
        .returning('id')
        .executeTakeFirstOrThrow();
      return id;
    },

    update: async (id, { publicKey, ...fields }) => {
      const values = { ...fields, ...(publicKey === undefined ? {} : { public_key: publicKey }) };
      if (Object.keys(values).length === 0) return;
      await db.updateTable('organization').set(values).where('id', '=', id).execute();
    },

    remove: async (id) => {
      await db
        .deleteFrom('authenticatable')
        .where((eb) =>
          eb.or([
            eb(
              'id',
              'in',
              eb.selectFrom('node').select('node.id').where('organization_id', '=', id),
            ),
            eb(
              'id',
              'in',
              eb.selectFrom('user').select('user.id').where('organization_id', '=', id),
            ),
          ]),
        )
        .execute();
      await db.deleteFrom('organization').where('id', '=', id).execute();
    },
  };
}
