import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';
import { addIndex } from './tables.ts';

/** Sessions, second factors, what mails carried, and attempts to log in. */
export const accounts: Migration = {
  up: async (db: Kysely<unknown>) => {
    await createSessions(db);
    await createSecondFactors(db);
    await createRecoveries(db);
    await createAttempts(db);
  },
};

async function createSessions(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('session')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('account_id', 'integer', (c) =>
      c.notNull().references('authenticatable.id').onDelete('cascade'),
    )
    .addColumn('sequence', 'integer', (c) => c.notNull())
    .addColumn('confirmed', 'integer', (c) => c.notNull())
    .addColumn('source', 'text')
    .addColumn('created_at', 'text', (c) => c.notNull())
    .addColumn('rotated_at', 'text', (c) => c.notNull())
    .addColumn('expires_at', 'text', (c) => c.notNull())
    .addColumn('ended_at', 'text')
    .execute();
  await addIndex(db, 'session', ['account_id']);
  await addIndex(db, 'session', ['expires_at']);
}

async function createSecondFactors(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('second_factor')
    .addColumn('user_id', 'integer', (c) =>
      c.primaryKey().references('user.id').onDelete('cascade'),
    )
    .addColumn('secret', 'text')
    .addColumn('pending', 'text')
    .addColumn('last_step', 'integer', (c) => c.notNull())
    .execute();
}

async function createRecoveries(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('recovery')
    .addColumn('digest', 'text', (c) => c.primaryKey())
    .addColumn('user_id', 'integer', (c) => c.notNull().references('user.id').onDelete('cascade'))
    .addColumn('purpose', 'text', (c) => c.notNull())
    .addColumn('expires_at', 'text', (c) => c.notNull())
    .execute();
  await addIndex(db, 'recovery', ['user_id']);
  await db.schema
    .createTable('mail')
    .addColumn('user_id', 'integer', (c) => c.notNull().references('user.id').onDelete('cascade'))
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('sent_at', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('mail_pk', ['user_id', 'kind'])
    .execute();
}

async function createAttempts(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('attempt')
    .addColumn('key', 'text', (c) => c.primaryKey())
    .addColumn('count', 'integer', (c) => c.notNull())
    .addColumn('highest', 'integer', (c) => c.notNull())
    .addColumn('slides', 'integer', (c) => c.notNull())
    .addColumn('until', 'text', (c) => c.notNull())
    .execute();
  await addIndex(db, 'attempt', ['until']);
  await db.schema
    .createTable('known_source')
    .addColumn('key', 'text', (c) => c.primaryKey())
    .addColumn('seen_at', 'text', (c) => c.notNull())
    .execute();
}
