import type { Expression, ExpressionBuilder, Kysely, SqlBool } from 'kysely';
import type { RoleRecord, RuleRecord } from '../../server/interfaces/records.ts';
import type { RoleScope, RoleStore, RuleStore } from '../../server/interfaces/rights-store.ts';
import { listPage, matches, NOTHING } from './listing.ts';
import type { Schema } from './schema.ts';

const SORTABLE_ROLES = { id: 'role.id', name: 'role.name', description: 'role.description' };
const SORTABLE_RULES = {
  id: 'rule.id',
  name: 'rule.resource',
  operation: 'rule.operation',
  scope: 'rule.scope',
};

const ROLE_COLUMNS = [
  'role.id',
  'role.name',
  'role.description',
  'role.is_default',
  'role.organization_id',
] as const;

interface RoleRow {
  readonly id: number;
  readonly name: string;
  readonly description: string;
  readonly is_default: number;
  readonly organization_id: number | null;
}

export const toRole = (row: RoleRow): RoleRecord => ({
  id: row.id,
  name: row.name,
  description: row.description,
  isDefault: row.is_default === 1,
  organizationId: row.organization_id,
});

const orNothing = (ids: readonly number[]): readonly number[] => (ids.length > 0 ? ids : NOTHING);

export function roleStore(db: Kysely<Schema>): RoleStore {
  return {
    find: async (id) => {
      const row = await db
        .selectFrom('role')
        .select(ROLE_COLUMNS)
        .where('role.id', '=', id)
        .executeTakeFirst();
      return row && toRole(row);
    },

    list: async (filter, page) => {
      let query = db.selectFrom('role').select(ROLE_COLUMNS);
      const { name, description, wanted, visible, ruleId, userId } = filter;
      if (name !== undefined) query = query.where(matches(db, 'role.name', name));
      if (description !== undefined)
        query = query.where(matches(db, 'role.description', description));
      if (wanted !== undefined) query = query.where((eb) => anyOf(eb, wanted));
      if (visible !== undefined) query = query.where((eb) => anyOf(eb, visible));
      if (ruleId !== undefined) {
        query = query.where('role.id', 'in', (eb) =>
          eb.selectFrom('role_rule').select('role_rule.role_id').where('rule_id', '=', ruleId),
        );
      }
      if (userId !== undefined) {
        query = query.where('role.id', 'in', (eb) =>
          eb.selectFrom('user_role').select('user_role.role_id').where('user_id', '=', userId),
        );
      }
      const { rows, total } = await listPage(query, {
        page,
        sortable: SORTABLE_ROLES,
        id: { column: 'role.id', descending: false },
      });
      return { rows: rows.map(toRole), total };
    },

    create: async ({ name, description, organizationId, rules }) => {
      const { id } = await db
        .insertInto('role')
        .values({ name, description, organization_id: organizationId })
        .returning('id')
        .executeTakeFirstOrThrow();
      await setRules(db, id, rules);
      return id;
    },

    update: async (id, { name, description, rules }) => {
      const values = {
        ...(name === undefined ? {} : { name }),
        ...(description === undefined ? {} : { description }),
      };
      if (Object.keys(values).length > 0)
        await db.updateTable('role').set(values).where('id', '=', id).execute();
      if (rules !== undefined) await setRules(db, id, rules);
    },

    remove: async (id) => {
      await db.deleteFrom('role').where('id', '=', id).execute();
    },
  };
}

function anyOf(eb: ExpressionBuilder<Schema, 'role'>, scope: RoleScope): Expression<SqlBool> {
  const choices = [
    eb('role.id', 'in', orNothing(scope.ids)),
    eb('role.organization_id', 'in', orNothing(scope.organizationIds)),
  ];
  return eb.or(scope.serverWide ? [...choices, eb('role.organization_id', 'is', null)] : choices);
}

/** Makes the role hold exactly these rules. */
export async function setRules(
  db: Kysely<Schema>,
  role: number,
  rules: readonly number[],
): Promise<void> {
  await db.deleteFrom('role_rule').where('role_id', '=', role).execute();
  if (rules.length === 0) return;
  await db
    .insertInto('role_rule')
    .values([...new Set(rules)].map((rule_id) => ({ role_id: role, rule_id })))
    .execute();
}

export function ruleStore(db: Kysely<Schema>): RuleStore {
  return {
    find: async (id) => {
      const row = await db
        .selectFrom('rule')
        .selectAll()
        .where('rule.id', '=', id)
        .executeTakeFirst();
      return row as RuleRecord | undefined;
    },

    list: async (filter, page) => {
      let query = db.selectFrom('rule').selectAll();
      const { ids, resource, operation, scope, roleId, userId } = filter;
      if (ids !== undefined) query = query.where('rule.id', 'in', orNothing(ids));
      if (resource !== undefined) query = query.where('rule.resource', '=', resource);
      if (operation !== undefined) query = query.where('rule.operation', '=', operation);
      if (scope !== undefined) query = query.where('rule.scope', '=', scope);
      if (roleId !== undefined) {
        query = query.where('rule.id', 'in', (eb) =>
          eb.selectFrom('role_rule').select('role_rule.rule_id').where('role_id', '=', roleId),
        );
      }
      if (userId !== undefined) {
        query = query.where((eb) =>
          eb.or([
            eb(
              'rule.id',
              'in',
              eb.selectFrom('user_rule').select('user_rule.rule_id').where('user_id', '=', userId),
            ),
            eb(
              'rule.id',
              'in',
              eb
                .selectFrom('user_role')
                .innerJoin('role_rule', 'role_rule.role_id', 'user_role.role_id')
                .select('role_rule.rule_id')
                .where('user_role.user_id', '=', userId),
            ),
          ]),
        );
      }
      const { rows, total } = await listPage(query, {
        page,
        sortable: SORTABLE_RULES,
        id: { column: 'rule.id', descending: false },
      });
      return { rows: rows as RuleRecord[], total };
    },

    ofRoles: async (roles) => {
      const rows = await db
        .selectFrom('role_rule')
        .select('rule_id')
        .distinct()
        .where('role_id', 'in', orNothing(roles))
        .orderBy('rule_id')
        .execute();
      return rows.map((row) => row.rule_id);
    },
  };
}
