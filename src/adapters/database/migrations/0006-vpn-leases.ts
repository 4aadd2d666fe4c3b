import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

/** When a node got its VPN configuration, and since when it may have none. */
export const vpnLeases: Migration = {
  up: async (db: Kysely<unknown>) => {
    for (const column of ['issued_at', 'revoked_at'])
      await db.schema.alterTable('vpn_grant').addColumn(column, 'text').execute();
  },
};
