import type { Kysely } from 'kysely';
import type { RuleRecord } from '../../server/interfaces/records.ts';
import { setRules } from './roles.ts';
import type { Schema } from './schema.ts';

/** A role that every server has. */
export interface RoleSeed {
  readonly name: string;
  readonly description: string;
  /** All rules there are stand in at least one role. */
  readonly rules?: readonly RuleRecord[];
}

/** Writes the fixed rules and roles. Repeating it changes nothing; a database of an older v6 gets what it lacks. */
export async function seed(db: Kysely<Schema>, roles: readonly RoleSeed[]): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const rules = new Map(roles.flatMap((role) => role.rules ?? []).map((rule) => [rule.id, rule]));
    await addRules(trx, [...rules.values()]);
    for (const role of roles) await addRole(trx, role);
  });
}

async function addRules(db: Kysely<Schema>, rules: readonly RuleRecord[]): Promise<void> {
  if (rules.length === 0) return;
  await db
    .insertInto('rule')
    .values(
      rules.map(({ id, resource, operation, scope, description }) => ({
        id,
        resource,
        operation,
        scope,
        description,
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

async function addRole(db: Kysely<Schema>, { name, description, rules }: RoleSeed): Promise<void> {
  const find = () =>
    db
      .selectFrom('role')
      .select(['id', 'description'])
      .where('name', '=', name)
      .where('organization_id', 'is', null)
      .executeTakeFirst();
  // Looked for first: on PostgreSQL an insert that meets a conflict uses up an id.
  if ((await find()) === undefined) {
    await db
      .insertInto('role')
      .values({ name, description, is_default: 1, organization_id: null })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  const role = await find();
  if (role === undefined) return;
  if (role.description !== description)
    await db.updateTable('role').set({ description }).where('id', '=', role.id).execute();
  const wanted = (rules ?? []).map((rule) => rule.id).toSorted((a, b) => a - b);
  const present = await db
    .selectFrom('role_rule')
    .select('rule_id')
    .where('role_id', '=', role.id)
    .orderBy('rule_id')
    .execute();
  const isSame =
    present.length === wanted.length && present.every((row, at) => row.rule_id === wanted[at]);
  if (!isSame) await setRules(db, role.id, wanted);
}
