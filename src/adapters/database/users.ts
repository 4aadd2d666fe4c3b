import type { Expression, ExpressionBuilder, Kysely, SqlBool } from 'kysely';
import type { UserRecord } from '../../server/interfaces/records.ts';
import type { UserFields, UserFilter, UserStore } from '../../server/interfaces/store.ts';
import { dateOrNull, listPage, matches, NOTHING } from './listing.ts';
import { touchAccount } from './nodes.ts';
import { toRole } from './roles.ts';
import type { Schema } from './schema.ts';

const SORTABLE = {
  id: 'user.id',
  username: 'user.username',
  firstname: 'user.firstname',
  lastname: 'user.lastname',
  email: 'user.email',
};

const select = (db: Kysely<Schema>) =>
  db
    .selectFrom('user')
    .innerJoin('authenticatable', 'authenticatable.id', 'user.id')
    .select([
      'user.id',
      'user.username',
      'user.firstname',
      'user.lastname',
      'user.email',
      'user.organization_id',
      'authenticatable.last_seen',
      'authenticatable.token_generation',
    ]);

type Row = Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirstOrThrow']>>;

async function withRoles(db: Kysely<Schema>, rows: readonly Row[]): Promise<UserRecord[]> {
  const ids = rows.map((row) => row.id);
  const roles = await db
    .selectFrom('user_role')
    .innerJoin('role', 'role.id', 'user_role.role_id')
    .select([
      'user_role.user_id',
      'role.id',
      'role.name',
      'role.description',
      'role.is_default',
      'role.organization_id',
    ])
    .where('user_role.user_id', 'in', ids.length > 0 ? ids : NOTHING)
    .orderBy('role.id')
    .execute();
  const rules = await db
    .selectFrom('user_rule')
    .select(['user_id', 'rule_id'])
    .where('user_id', 'in', ids.length > 0 ? ids : NOTHING)
    .orderBy('rule_id')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    username: row.username,
    firstname: row.firstname,
    lastname: row.lastname,
    email: row.email,
    organizationId: row.organization_id,
    lastSeenAt: dateOrNull(row.last_seen),
    tokenGeneration: row.token_generation,
    roles: roles.filter((role) => role.user_id === row.id).map(toRole),
    ruleIds: rules.filter((rule) => rule.user_id === row.id).map((rule) => rule.rule_id),
  }));
}

export function userStore(db: Kysely<Schema>): UserStore {
  return {
    find: async (id) => {
      const row = await select(db).where('user.id', '=', id).executeTakeFirst();
      return row && (await withRoles(db, [row]))[0];
    },

    findLogin: async (username) => {
      const row = await select(db)
        .select('user.password_hash')
        .where('user.username', '=', username)
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const [user] = await withRoles(db, [row]);
      return user && { user, passwordHash: row.password_hash };
    },

    findByEmail: async (email) => {
      const row = await select(db).where('user.email', '=', email).executeTakeFirst();
      return row && (await withRoles(db, [row]))[0];
    },

    list: async (filter, page) => {
      const { rows, total } = await listPage(filtered(db, filter), {
        page,
        sortable: SORTABLE,
        id: { column: 'user.id', descending: false },
      });
      return { rows: await withRoles(db, rows), total };
    },

    create: async (fields) => {
      const { id } = await db
        .insertInto('authenticatable')
        .values({ type: 'user', last_seen: null })
        .returning('id')
        .executeTakeFirstOrThrow();
      await db
        .insertInto('user')
        .values({
          id,
          username: fields.username,
          firstname: fields.firstname,
          lastname: fields.lastname,
          email: fields.email,
          organization_id: fields.organizationId,
          password_hash: fields.passwordHash,
        })
        .execute();
      await setRoles(db, id, fields.roles);
      await setRules(db, id, fields.rules ?? []);
      return id;
    },

    update: async (id, changes) => {
      const values = columnsOf(changes);
      if (Object.keys(values).length > 0)
        await db.updateTable('user').set(values).where('id', '=', id).execute();
      if (changes.roles !== undefined) await setRoles(db, id, changes.roles);
      if (changes.rules !== undefined) await setRules(db, id, changes.rules);
      await touchAccount(db, id, changes);
    },

    remove: async (id) => {
      await db.deleteFrom('authenticatable').where('id', '=', id).execute();
    },

    roles: async () => {
      const rows = await db.selectFrom('role').selectAll().orderBy('id').execute();
      return rows.map(toRole);
    },
  };
}

function filtered(db: Kysely<Schema>, filter: UserFilter): ReturnType<typeof select> {
  const { organizationIds, collaborationId, roleId, ruleId, lastSeen } = filter;
  let out = select(db);
  for (const name of ['username', 'firstname', 'lastname', 'email'] as const) {
    const like = filter[name];
    if (like !== undefined) out = out.where(matches(db, `user.${name}`, like));
  }
  if (organizationIds !== undefined) {
    const list = organizationIds.length > 0 ? organizationIds : NOTHING;
    out = out.where('user.organization_id', 'in', list);
  }
  if (collaborationId !== undefined) {
    out = out.where('user.organization_id', 'in', (eb) =>
      eb
        .selectFrom('member')
        .select('member.organization_id')
        .where('member.collaboration_id', '=', collaborationId),
    );
  }
  if (roleId !== undefined) {
    out = out.where('user.id', 'in', (eb) =>
      eb.selectFrom('user_role').select('user_role.user_id').where('role_id', '=', roleId),
    );
  }
  if (ruleId !== undefined) out = out.where((eb) => hasRule(eb, ruleId));
  if (lastSeen?.from !== undefined)
    out = out.where('authenticatable.last_seen', '>=', lastSeen.from.toISOString());
  if (lastSeen?.till !== undefined)
    out = out.where('authenticatable.last_seen', '<=', lastSeen.till.toISOString());
  return out;
}

function hasRule(eb: ExpressionBuilder<Schema, 'user'>, rule: number): Expression<SqlBool> {
  const direct = eb.selectFrom('user_rule').select('user_rule.user_id').where('rule_id', '=', rule);
  const throughRole = eb
    .selectFrom('user_role')
    .innerJoin('role_rule', 'role_rule.role_id', 'user_role.role_id')
    .select('user_role.user_id')
    .where('role_rule.rule_id', '=', rule);
  return eb.or([eb('user.id', 'in', direct), eb('user.id', 'in', throughRole)]);
}

function columnsOf(changes: Partial<UserFields>) {
  const { firstname, lastname, email, username, passwordHash, organizationId } = changes;
  return {
    ...(firstname === undefined ? {} : { firstname }),
    ...(lastname === undefined ? {} : { lastname }),
    ...(email === undefined ? {} : { email }),
    ...(username === undefined ? {} : { username }),
    ...(organizationId === undefined ? {} : { organization_id: organizationId }),
    ...(passwordHash === undefined ? {} : { password_hash: passwordHash }),
  };
}

async function setRoles(db: Kysely<Schema>, user: number, roles: readonly number[]): Promise<void> {
  await db.deleteFrom('user_role').where('user_id', '=', user).execute();
  if (roles.length === 0) return;
  await db
    .insertInto('user_role')
    .values(roles.map((role_id) => ({ user_id: user, role_id })))
    .execute();
}

async function setRules(db: Kysely<Schema>, user: number, rules: readonly number[]): Promise<void> {
  await db.deleteFrom('user_rule').where('user_id', '=', user).execute();
  if (rules.length === 0) return;
  await db
    .insertInto('user_rule')
    .values([...new Set(rules)].map((rule_id) => ({ user_id: user, rule_id })))
    .execute();
}
