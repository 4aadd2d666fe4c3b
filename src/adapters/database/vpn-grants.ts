import type { Kysely, Selectable } from 'kysely';
import type { VpnGrantRecord } from '../../server/interfaces/records.ts';
import type { MetaStore, VpnGrantStore } from '../../server/interfaces/store.ts';
import { dateOrNull } from './listing.ts';
import type { Schema } from './schema.ts';

type Row = Selectable<Schema['vpn_grant']>;

const toRecord = (row: Row): VpnGrantRecord => ({
  nodeId: row.node_id,
  current: row.current,
  previous: row.previous,
  profile: row.profile,
  issuedAt: dateOrNull(row.issued_at),
  expiresAt: dateOrNull(row.expires_at),
  revokedAt: dateOrNull(row.revoked_at),
});

export function vpnGrantStore(db: Kysely<Schema>): VpnGrantStore {
  const select = () => db.selectFrom('vpn_grant').selectAll();
  return {
    find: async (nodeId) => {
      const row = await select().where('node_id', '=', nodeId).executeTakeFirst();
      return row && toRecord(row);
    },

    list: async () => (await select().orderBy('node_id').execute()).map(toRecord),

    save: async ({ nodeId, current, previous, profile, issuedAt, expiresAt }) => {
      const values = {
        current,
        previous,
        profile,
        issued_at: issuedAt?.toISOString() ?? null,
        expires_at: expiresAt?.toISOString() ?? null,
      };
      await db
        .insertInto('vpn_grant')
        .values({ node_id: nodeId, ...values })
        .onConflict((conflict) => conflict.column('node_id').doUpdateSet(values))
        .execute();
    },

    setRevoked: async (nodeId, at) => {
      const values = { revoked_at: at?.toISOString() ?? null };
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
