import type { Kysely, Selectable } from 'kysely';
import type {
  SecondFactorStore,
  SessionRecord,
  SessionStore,
} from '../../server/interfaces/account-store.ts';
import { dateOrNull } from './listing.ts';
import type { Schema } from './schema.ts';

const toRecord = (row: Selectable<Schema['session']>): SessionRecord => ({
  id: row.id,
  accountId: row.account_id,
  sequence: row.sequence,
  confirmed: row.confirmed,
  source: row.source,
  createdAt: new Date(row.created_at),
  rotatedAt: new Date(row.rotated_at),
  expiresAt: new Date(row.expires_at),
  endedAt: dateOrNull(row.ended_at),
});

export function sessionStore(db: Kysely<Schema>): SessionStore {
  return {
    find: async (id) => {
      const row = await db
        .selectFrom('session')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirst();
      return row && toRecord(row);
    },

    start: async (session) => {
      await db
        .insertInto('session')
        .values({
          id: session.id,
          account_id: session.accountId,
          sequence: session.sequence,
          confirmed: session.confirmed,
          source: session.source,
          created_at: session.createdAt.toISOString(),
          rotated_at: session.rotatedAt.toISOString(),
          expires_at: session.expiresAt.toISOString(),
          ended_at: session.endedAt?.toISOString() ?? null,
        })
        .onConflict((conflict) => conflict.column('id').doNothing())
        .execute();
    },

    advance: async (id, from, { rotatedAt, expiresAt }) => {
      const { numUpdatedRows } = await db
        .updateTable('session')
        .set({
          sequence: from + 1,
          rotated_at: rotatedAt.toISOString(),
          expires_at: expiresAt.toISOString(),
        })
        .where('id', '=', id)
        .where('sequence', '=', from)
        .where('ended_at', 'is', null)
        .executeTakeFirst();
      return numUpdatedRows === 1n;
    },

    confirm: async (id, sequence) => {
      await db
        .updateTable('session')
        .set({ confirmed: sequence })
        .where('id', '=', id)
        .where('confirmed', '<', sequence)
        .execute();
    },

    end: async (id, at) => {
      await db
        .updateTable('session')
        .set({ ended_at: at.toISOString() })
        .where('id', '=', id)
        .where('ended_at', 'is', null)
        .execute();
    },

    list: async (accountId, now) => {
      const rows = await db
        .selectFrom('session')
        .selectAll()
        .where('account_id', '=', accountId)
        .where('ended_at', 'is', null)
        .where('expires_at', '>', now.toISOString())
        .orderBy('created_at', 'desc')
        .orderBy('id')
        .execute();
      return rows.map(toRecord);
    },

    removeExpired: async (now) => {
      await db.deleteFrom('session').where('expires_at', '<=', now.toISOString()).execute();
    },
  };
}

export function secondFactorStore(db: Kysely<Schema>): SecondFactorStore {
  return {
    find: async (userId) => {
      const row = await db
        .selectFrom('second_factor')
        .selectAll()
        .where('user_id', '=', userId)
        .executeTakeFirst();
      return row && { secret: row.secret, pending: row.pending, lastStep: row.last_step };
    },

    savePending: async (userId, pending) => {
      await db
        .insertInto('second_factor')
        .values({ user_id: userId, secret: null, pending, last_step: 0 })
        .onConflict((conflict) => conflict.column('user_id').doUpdateSet({ pending, last_step: 0 }))
        .execute();
    },

    takeStep: async (userId, step) => {
      const { numUpdatedRows } = await db
        .updateTable('second_factor')
        .set({ last_step: step })
        .where('user_id', '=', userId)
        .where('last_step', '<', step)
        .executeTakeFirst();
      return numUpdatedRows === 1n;
    },

    enrol: async (userId, pending) => {
      const { numUpdatedRows } = await db
        .updateTable('second_factor')
        .set({ secret: pending, pending: null })
        .where('user_id', '=', userId)
        .where('pending', '=', pending)
        .executeTakeFirst();
      return numUpdatedRows === 1n;
    },

    remove: async (userId) => {
      await db.deleteFrom('second_factor').where('user_id', '=', userId).execute();
    },
  };
}
