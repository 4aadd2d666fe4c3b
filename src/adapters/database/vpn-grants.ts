import type { Kysely } from 'kysely';
import type { MetaStore, VpnGrantStore } from '../../server/interfaces/store.ts';
import { dateOrNull } from './listing.ts';
import type { Schema } from './schema.ts';

export function vpnGrantStore(db: Kysely<Schema>): VpnGrantStore {
  return {
    find: async (nodeId) => {
      const row = await db
        .selectFrom('vpn_grant')
        .selectAll()
        .where('node_id', '=', nodeId)
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const { current, previous, profile } = row;
      return { nodeId, current, previous, profile, expiresAt: dateOrNull(row.expires_at) };
    },

    save: async ({ nodeId, current, previous, profile, expiresAt }) => {
      const values = { current, previous, profile, expires_at: expiresAt?.toISOString() ?? null };
      await db
        .insertInto('vpn_grant')
        .values({ node_id: nodeId, ...values })
        .onConflict((conflict) => conflict.column('node_id').doUpdateSet(values))
        .execute();
    },

    remove: async (nodeId) => {
      await db.deleteFrom('vpn_grant').where('node_id', '=', nodeId).execute();
    },
  };
}

export function metaStore(db: Kysely<Schema>): MetaStore {
  return {
    find: async (key) => {
      const row = await db
        .selectFrom('meta')
        .select('value')
        .where('key', '=', key)
        .executeTakeFirst();
      return row?.value;
    },
    set: async (key, value) => {
      await db
        .insertInto('meta')
        .values({ key, value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute();
    },
  };
}
