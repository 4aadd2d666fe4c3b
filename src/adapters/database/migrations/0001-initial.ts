import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';
import { addIndex, withId } from './tables.ts';

/** Parties, accounts, tasks and what the VPN portal gave. */
export const initial: Migration = {
  up: async (db: Kysely<unknown>) => {
    await createParties(db);
    await createAccounts(db);
    await createTasks(db);
    await createVpn(db);
  },
};

async function createParties(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('meta')
    .addColumn('key', 'text', (c) => c.primaryKey())
    .addColumn('value', 'text', (c) => c.notNull())
    .execute();
  await withId(db, 'organization')
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('domain', 'text')
    .addColumn('address1', 'text')
    .addColumn('address2', 'text')
    .addColumn('zipcode', 'text')
    .addColumn('country', 'text')
    .addColumn('public_key', 'text', (c) => c.notNull())
    .execute();
  await withId(db, 'collaboration')
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('encrypted', 'integer', (c) => c.notNull())
    .execute();
  await db.schema
    .createTable('member')
    .addColumn('organization_id', 'integer', (c) =>
      c.notNull().references('organization.id').onDelete('cascade'),
    )
    .addColumn('collaboration_id', 'integer', (c) =>
      c.notNull().references('collaboration.id').onDelete('cascade'),
    )
    .addPrimaryKeyConstraint('member_pk', ['organization_id', 'collaboration_id'])
    .execute();
  await addIndex(db, 'member', ['collaboration_id']);
}

async function createAccounts(db: Kysely<unknown>): Promise<void> {
  await withId(db, 'authenticatable')
    .addColumn('type', 'text', (c) => c.notNull())
    .addColumn('last_seen', 'text')
    .addColumn('token_generation', 'integer', (c) => c.notNull().defaultTo(1))
    .execute();
  await db.schema
    .createTable('node')
    .addColumn('id', 'integer', (c) =>
      c.primaryKey().references('authenticatable.id').onDelete('cascade'),
    )
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('organization_id', 'integer', (c) =>
      c.notNull().references('organization.id').onDelete('cascade'),
    )
    .addColumn('collaboration_id', 'integer', (c) =>
      c.notNull().references('collaboration.id').onDelete('cascade'),
    )
    .addColumn('api_key_digest', 'text', (c) => c.notNull().unique())
    .addColumn('ip', 'text')
    .addColumn('online', 'integer', (c) => c.notNull().defaultTo(0))
    .addColumn('config', 'text', (c) => c.notNull().defaultTo('[]'))
    .addColumn('vpn_id', 'text', (c) => c.notNull().unique())
    .addUniqueConstraint('node_pair', ['organization_id', 'collaboration_id'])
    .execute();
  await addIndex(db, 'node', ['collaboration_id']);
  await withId(db, 'role')
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('description', 'text', (c) => c.notNull())
    .execute();
  await db.schema
    .createTable('user')
    .addColumn('id', 'integer', (c) =>
      c.primaryKey().references('authenticatable.id').onDelete('cascade'),
    )
    .addColumn('username', 'text', (c) => c.notNull().unique())
    .addColumn('firstname', 'text', (c) => c.notNull())
    .addColumn('lastname', 'text', (c) => c.notNull())
    .addColumn('email', 'text', (c) => c.notNull().unique())
    .addColumn('organization_id', 'integer', (c) =>
      c.notNull().references('organization.id').onDelete('cascade'),
    )
    .addColumn('password_hash', 'text', (c) => c.notNull())
    .execute();
  await addIndex(db, 'user', ['organization_id']);
  await db.schema
    .createTable('user_role')
    .addColumn('user_id', 'integer', (c) => c.notNull().references('user.id').onDelete('cascade'))
    .addColumn('role_id', 'integer', (c) => c.notNull().references('role.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('user_role_pk', ['user_id', 'role_id'])
    .execute();
}

async function createTasks(db: Kysely<unknown>): Promise<void> {
  await withId(db, 'job')
    .addColumn('created_at', 'text', (c) => c.notNull())
    .execute();
  await withId(db, 'task')
    .addColumn('job_id', 'integer', (c) => c.notNull().references('job.id'))
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addColumn('image', 'text', (c) => c.notNull())
    .addColumn('collaboration_id', 'integer', (c) =>
      c.notNull().references('collaboration.id').onDelete('cascade'),
    )
    .addColumn('parent_id', 'integer', (c) => c.references('task.id').onDelete('cascade'))
    .addColumn('init_org_id', 'integer', (c) =>
      c.notNull().references('organization.id').onDelete('cascade'),
    )
    .addColumn('init_user_id', 'integer', (c) => c.references('user.id').onDelete('set null'))
    .addColumn('created_at', 'text', (c) => c.notNull())
    .execute();
  await addIndex(db, 'task', ['parent_id']);
  await addIndex(db, 'task', ['collaboration_id']);
  await addIndex(db, 'task', ['job_id']);
  await addIndex(db, 'task', ['init_org_id']);
  await addIndex(db, 'task', ['init_user_id']);
  await db.schema
    .createTable('task_database')
    .addColumn('task_id', 'integer', (c) => c.notNull().references('task.id').onDelete('cascade'))
    .addColumn('position', 'integer', (c) => c.notNull())
    .addColumn('label', 'text', (c) => c.notNull())
    .addColumn('parameters', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('task_database_pk', ['task_id', 'position'])
    .execute();
  await createRuns(db);
}

async function createRuns(db: Kysely<unknown>): Promise<void> {
  await withId(db, 'run')
    .addColumn('task_id', 'integer', (c) => c.notNull().references('task.id').onDelete('cascade'))
    .addColumn('organization_id', 'integer', (c) =>
      c.notNull().references('organization.id').onDelete('cascade'),
    )
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('input', 'text', (c) => c.notNull())
    .addColumn('result', 'text')
    .addColumn('log', 'text')
    .addColumn('assigned_at', 'text', (c) => c.notNull())
    .addColumn('started_at', 'text')
    .addColumn('finished_at', 'text')
    .addColumn('kill_pending', 'integer', (c) => c.notNull().defaultTo(0))
    .addUniqueConstraint('run_of_organization', ['task_id', 'organization_id'])
    .execute();
  await addIndex(db, 'run', ['organization_id', 'finished_at']);
  await withId(db, 'port')
    .addColumn('run_id', 'integer', (c) => c.notNull().references('run.id').onDelete('cascade'))
    .addColumn('node_id', 'integer', (c) => c.notNull().references('node.id').onDelete('cascade'))
    .addColumn('protocol', 'text', (c) => c.notNull())
    .addColumn('port', 'integer', (c) => c.notNull())
    .addColumn('label', 'text')
    .addUniqueConstraint('port_of_node', ['node_id', 'protocol', 'port'])
    .execute();
  await addIndex(db, 'port', ['run_id']);
}

async function createVpn(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('vpn_grant')
    .addColumn('node_id', 'integer', (c) =>
      c.primaryKey().references('node.id').onDelete('cascade'),
    )
    .addColumn('current', 'text')
    .addColumn('previous', 'text')
    .addColumn('profile', 'text')
    .addColumn('expires_at', 'text')
    .execute();
}
