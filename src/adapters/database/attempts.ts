import { type Kysely, sql } from 'kysely';
import type { AttemptStore, RecoveryStore } from '../../server/interfaces/account-store.ts';
import type { Schema } from './schema.ts';

export function attemptStore(db: Kysely<Schema>): AttemptStore {
  return {
    take: async (limits, at) => {
      if (limits.length === 0) return [];
      const now = at.toISOString();
      // In one order everywhere, so that two statements of two replicas cannot wait for each other.
      const rows = limits
        .toSorted((a, b) => (a.key < b.key ? -1 : 1))
        .map(({ key, max, windowMs, slides }) => ({
          key,
          count: 1,
          highest: max,
          slides: Number(slides),
          until: new Date(at.getTime() + windowMs).toISOString(),
        }));
      // One statement: rows that the condition leaves out are not returned, and parallel attempts follow one another.
      const counted = await db
        .insertInto('attempt')
        .values(rows)
        .onConflict((conflict) =>
          conflict
            .column('key')
            .doUpdateSet({
              count: sql<number>`case when attempt.until <= ${now} then 1 else attempt.count + 1 end`,
              highest: sql<number>`excluded.highest`,
              until: sql<string>`case when attempt.until <= ${now} or excluded.slides = 1 then excluded.until else attempt.until end`,
            })
            .where(sql<boolean>`attempt.until <= ${now} or attempt.count < excluded.highest`),
        )
        .returning('key')
        .execute();
      const passed = new Set(counted.map(({ key }) => key));
      return limits.map(({ key }) => key).filter((key) => !passed.has(key));
    },

    giveBack: async (keys) => {
      if (keys.length === 0) return;
      await db
        .updateTable('attempt')
        .set((eb) => ({ count: eb('count', '-', 1) }))
        .where('key', 'in', keys)
        .where('count', '>', 0)
        .execute();
    },

    forget: async (keys) => {
      if (keys.length === 0) return;
      await db.deleteFrom('attempt').where('key', 'in', keys).execute();
    },

    isKnown: async (key, since) => {
      const row = await db
        .selectFrom('known_source')
        .select('key')
        .where('key', '=', key)
        .where('seen_at', '>', since.toISOString())
        .executeTakeFirst();
      return row !== undefined;
    },

    remember: async (key, at) => {
      const seen_at = at.toISOString();
      await db
        .insertInto('known_source')
        .values({ key, seen_at })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ seen_at }))
        .execute();
    },

    removeExpired: async ({ now, known }) => {
      await db.deleteFrom('attempt').where('until', '<=', now.toISOString()).execute();
      await db.deleteFrom('known_source').where('seen_at', '<=', known.toISOString()).execute();
    },
  };
}

export function recoveryStore(db: Kysely<Schema>): RecoveryStore {
  return {
    create: async ({ digest, userId, purpose, expiresAt }) => {
      await db
        .deleteFrom('recovery')
        .where('user_id', '=', userId)
        .where('purpose', '=', purpose)
        .execute();
      await db
        .insertInto('recovery')
        .values({ digest, user_id: userId, purpose, expires_at: expiresAt.toISOString() })
        .execute();
    },

    take: async (digest, purpose, now) => {
      const row = await db
        .deleteFrom('recovery')
        .where('digest', '=', digest)
        .where('purpose', '=', purpose)
        .where('expires_at', '>', now.toISOString())
        .returning('user_id')
        .executeTakeFirst();
      return row?.user_id;
    },

    takeMail: async (userId, kind, { now, since }) => {
      const sent_at = now.toISOString();
      const rows = await db
        .insertInto('mail')
        .values({ user_id: userId, kind, sent_at })
        .onConflict((conflict) =>
          conflict
            .columns(['user_id', 'kind'])
            .doUpdateSet({ sent_at })
            .where('mail.sent_at', '<=', since.toISOString()),
        )
        .returning('user_id')
        .execute();
      return rows.length === 1;
    },

    giveBackMail: async (userId, kind) => {
      await db.deleteFrom('mail').where('user_id', '=', userId).where('kind', '=', kind).execute();
    },
  };
}
