import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { addIndex, withId } from './tables.ts';

/** Rules as data, roles of organizations, rules of single users, and studies. */
export const rulesAndStudies: Migration = {
  up: async (db: Kysely<unknown>) => {
    await createRules(db);
    await renewRoles(db);
    await createAssignments(db);
    await createStudies(db);
  },
};

/** What this migration reads of the tables as they were. */
interface Before {
  role: { id: number; name: string; description: string; is_default: number };
  user_role: { user_id: number; role_id: number };
}

async function createRules(db: Kysely<unknown>): Promise<void> {
  // Ids are part of what we promise, so they are given and not counted up.
  await db.schema
    .createTable('rule')
    .addColumn('id', 'integer', (c) => c.primaryKey())
    .addColumn('resource', 'text', (c) => c.notNull())
    .addColumn('operation', 'text', (c) => c.notNull())
    .addColumn('scope', 'text', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addUniqueConstraint('rule_right', ['resource', 'operation', 'scope'])
    .execute();
}

/** Names were unique in the whole server; now they are within an organization. SQLite cannot drop a constraint, so the tables are made anew. */
async function renewRoles(db: Kysely<Before>): Promise<void> {
  const roles = await db
    .selectFrom('role')
    .select(['id', 'name', 'description'])
    .orderBy('id')
    .execute();
  const given = await db.selectFrom('user_role').selectAll().execute();
  await db.schema.dropTable('user_role').execute();
  await db.schema.dropTable('role').execute();
  await withId(db as unknown as Kysely<unknown>, 'role')
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addColumn('is_default', 'integer', (c) => c.notNull().defaultTo(0))
    .addColumn('organization_id', 'integer', (c) =>
      c.references('organization.id').onDelete('cascade'),
    )
    .execute();
  await db.schema
    .createIndex('role_name')
    .unique()
    .on('role')
    .expression(sql`coalesce(organization_id, 0), name`)
    .execute();
  await db.schema
    .createTable('user_role')
    .addColumn('user_id', 'integer', (c) => c.notNull().references('user.id').onDelete('cascade'))
    .addColumn('role_id', 'integer', (c) => c.notNull().references('role.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('user_role_pk', ['user_id', 'role_id'])
    .execute();
  // Until now there were fixed roles only.
  for (const role of roles)
    await db
      .insertInto('role')
      .values({ ...role, is_default: 1 })
      .execute();
  for (const row of given) await db.insertInto('user_role').values(row).execute();
}

async function createAssignments(db: Kysely<unknown>): Promise<void> {
  await addIndex(db, 'user_role', ['role_id']);
  await addIndex(db, 'role', ['organization_id']);
  await db.schema
    .createTable('role_rule')
    .addColumn('role_id', 'integer', (c) => c.notNull().references('role.id').onDelete('cascade'))
    .addColumn('rule_id', 'integer', (c) => c.notNull().references('rule.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('role_rule_pk', ['role_id', 'rule_id'])
    .execute();
  await addIndex(db, 'role_rule', ['rule_id']);
  await db.schema
    .createTable('user_rule')
    .addColumn('user_id', 'integer', (c) => c.notNull().references('user.id').onDelete('cascade'))
    .addColumn('rule_id', 'integer', (c) => c.notNull().references('rule.id').onDelete('cascade'))
    .addPrimaryKeyConstraint('user_rule_pk', ['user_id', 'rule_id'])
    .execute();
  await addIndex(db, 'user_rule', ['rule_id']);
}

async function createStudies(db: Kysely<unknown>): Promise<void> {
  await withId(db, 'study')
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('collaboration_id', 'integer', (c) =>
      c.notNull().references('collaboration.id').onDelete('cascade'),
    )
    .execute();
  await addIndex(db, 'study', ['collaboration_id']);
  await db.schema
    .createTable('study_member')
    .addColumn('study_id', 'integer', (c) => c.notNull().references('study.id').onDelete('cascade'))
    .addColumn('organization_id', 'integer', (c) =>
      c.notNull().references('organization.id').onDelete('cascade'),
    )
    .addPrimaryKeyConstraint('study_member_pk', ['study_id', 'organization_id'])
    .execute();
  await addIndex(db, 'study_member', ['organization_id']);
  await db.schema
    .alterTable('task')
    .addColumn('study_id', 'integer', (c) => c.references('study.id').onDelete('cascade'))
    .execute();
  await addIndex(db, 'task', ['study_id']);
}
