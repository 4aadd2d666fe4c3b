import type { Kysely } from 'kysely';
import type { RoleRecord, UserRecord } from '../../server/interfaces/records.ts';
import type { UserFields, UserStore } from '../../server/interfaces/store.ts';
import { dateOrNull, listPage, matches, NOTHING } from './listing.ts';
import { touchAccount } from './nodes.ts';
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
    .select(['user_role.user_id', 'role.id', 'role.name', 'role.description'])
    .where('user_role.user_id', 'in', ids.length > 0 ? ids : NOTHING)
    .orderBy('role.id')
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
    roles: roles
      .filter((role) => role.user_id === row.id)
      .map(({ id, name, description }): RoleRecord => ({ id, name, description })),
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

    list: async (filter, page) => {
      let query = select(db);
      const { username, organizationIds: orgs } = filter;
      if (username !== undefined) query = query.where(matches(db, 'user.username', username));
      if (orgs !== undefined)
        query = query.where('user.organization_id', 'in', orgs.length > 0 ? orgs : NOTHING);
      const { rows, total } = await listPage(query, {
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
      return id;
    },

    update: async (id, changes) => {
      const values = columnsOf(changes);
      if (Object.keys(values).length > 0)
        await db.updateTable('user').set(values).where('id', '=', id).execute();
      if (changes.roles !== undefined) await setRoles(db, id, changes.roles);
      await touchAccount(db, id, changes);
    },

    remove: async (id) => {
      await db.deleteFrom('authenticatable').where('id', '=', id).execute();
    },

    roles: () =>
      db.selectFrom('role').select(['id', 'name', 'description']).orderBy('id').execute(),
  };
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
