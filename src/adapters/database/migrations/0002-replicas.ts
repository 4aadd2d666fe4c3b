import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';
import { addIndex, isSqlite } from './tables.ts';

/** Which processes serve the database, and at which of them nodes have sockets. */
export const replicas: Migration = {
  up: async (db: Kysely<unknown>) => {
    await db.schema
      .createTable('replica')
      .addColumn('id', 'text', (c) => c.primaryKey())
      // Milliseconds since 1970 by the clock of the database: those of the replicas may differ.
      .addColumn('seen_at', 'bigint', (c) => c.notNull())
      .addColumn('key_mark', 'text', (c) => c.notNull())
      .execute();
    await db.schema
      .createTable('replica_node')
      .addColumn('replica_id', 'text', (c) =>
        c.notNull().references('replica.id').onDelete('cascade'),
      )
      .addColumn('node_id', 'integer', (c) => c.notNull().references('node.id').onDelete('cascade'))
      .addPrimaryKeyConstraint('replica_node_pk', ['replica_id', 'node_id'])
      .execute();
    await addIndex(db, 'replica_node', ['node_id']);
    // Nothing is ever in it: transactions lock it (transactions.ts).
    if (!isSqlite(db))
      await db.schema.createTable('transaction_turn').addColumn('unused', 'integer').execute();
  },
};
