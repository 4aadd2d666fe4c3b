import { type Expression, type Kysely, type SelectQueryBuilder, type SqlBool, sql } from 'kysely';
import type { AlgorithmAddress } from '../../core/protocol/entities.ts';
import type { AddressQuery, PortStore } from '../../server/interfaces/store.ts';
import { listPage, NOTHING } from './listing.ts';
import { isSqlite } from './migrations/tables.ts';
import type { Schema } from './schema.ts';

const COLUMNS = [
  'port.id',
  'port.run_id as runId',
  'port.port',
  'port.protocol',
  'port.label',
] as const;
const SORTABLE = { id: 'port.id', port: 'port.port', run_id: 'port.run_id' };

export function portStore(db: Kysely<Schema>): PortStore {
  return {
    find: (id) =>
      db.selectFrom('port').select(COLUMNS).where('port.id', '=', id).executeTakeFirst(),

    create: async ({ runId, nodeId, port, protocol, label }) => {
      const { id } = await db
        .insertInto('port')
        .values({ run_id: runId, node_id: nodeId, port, protocol, label })
        .returning('id')
        .executeTakeFirstOrThrow();
      return id;
    },

    findHolder: (nodeId, protocol, port) =>
      db
        .selectFrom('port')
        .select(COLUMNS)
        .where('port.node_id', '=', nodeId)
        .where('port.protocol', '=', protocol)
        .where('port.port', '=', port)
        .executeTakeFirst(),

    setLabel: async (id, label) => {
      await db.updateTable('port').set({ label }).where('id', '=', id).execute();
    },

    list: (filter, page) => {
      let query = db
        .selectFrom('port')
        .innerJoin('run', 'run.id', 'port.run_id')
        .innerJoin('task', 'task.id', 'run.task_id')
        .select(COLUMNS);
      const { runId, collaborationIds, organizationId } = filter;
      if (runId !== undefined) query = query.where('port.run_id', '=', runId);
      if (collaborationIds !== undefined) {
        const list = collaborationIds.length > 0 ? collaborationIds : NOTHING;
        query = query.where('task.collaboration_id', 'in', list);
      }
      if (organizationId !== undefined)
        query = query.where('run.organization_id', '=', organizationId);
      return listPage(query, {
        page,
        sortable: SORTABLE,
        id: { column: 'port.id', descending: false },
      });
    },

    removeOfRuns: async (runs) => {
      if (runs.length === 0) return;
      await db.deleteFrom('port').where('run_id', 'in', runs).execute();
    },

    addresses: (query) => addressesJson(db, query),
  };
}

/** Goes in by task.id and task.parent_id, on to run.task_id and port.run_id: every step has an index. */
function selectAddresses(
  db: Kysely<Schema>,
  { runId, taskId, organizationId, tasks, organizations, label }: AddressQuery,
): SelectQueryBuilder<Schema, 'port', AlgorithmAddress> {
  let query = db
    .selectFrom('task')
    .innerJoin('run', 'run.task_id', 'task.id')
    .innerJoin('port', 'port.run_id', 'run.id')
    .innerJoin('node', 'node.id', 'port.node_id')
    .select([
      'node.ip',
      'port.port',
      'port.label',
      'run.organization_id',
      'task.id as task_id',
      'task.parent_id',
      'port.protocol',
    ])
    .where((eb) => {
      const family: Expression<SqlBool>[] = [];
      if (tasks.own) family.push(eb('task.id', '=', taskId));
      if (tasks.children) family.push(eb('task.parent_id', '=', taskId));
      if (tasks.parentId !== undefined) family.push(eb('task.id', '=', tasks.parentId));
      return family.length > 0 ? eb.or(family) : eb('task.id', 'is', null);
    })
    .where((eb) =>
      eb.or([
        eb('run.id', '=', runId),
        eb.and([
          eb('run.status', '=', 'active'),
          eb('run.finished_at', 'is', null),
          eb('node.online', '=', 1),
          eb('node.ip', 'is not', null),
        ]),
      ]),
    );
  if (organizations === 'own') query = query.where('run.organization_id', '=', organizationId);
  if (organizations === 'others') query = query.where('run.organization_id', '!=', organizationId);
  if (label !== undefined) query = query.where('port.label', '=', label);
  return query.orderBy('port.id');
}

/** Fields of the answer, in its order. */
const ADDRESS = [
  'ip',
  'port',
  'label',
  'organization_id',
  'task_id',
  'parent_id',
  'protocol',
] as const satisfies readonly (keyof AlgorithmAddress)[];

/**
 * The database writes the list: an object per row made here, renamed and written out would take four times as long, and a
 * thousand algorithms ask for a thousand addresses each.
 */
async function addressesJson(db: Kysely<Schema>, query: AddressQuery): Promise<string> {
  const fields = sql.join(
    ADDRESS.flatMap((field) => [sql.lit(field), sql.ref(`address.${field}`)]),
  );
  const list = isSqlite(db)
    ? sql<string>`json_group_array(json_object(${fields}))`
    : sql<string>`coalesce(json_agg(json_build_object(${fields})), '[]')::text`;
  const { text } = await db
    .selectFrom(selectAddresses(db, query).as('address'))
    .select(list.as('text'))
    .executeTakeFirstOrThrow();
  return text;
}
