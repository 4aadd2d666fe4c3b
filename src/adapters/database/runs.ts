import type { Kysely } from 'kysely';
import type { RunStatus } from '../../core/protocol/entities.ts';
import type { RunRecord } from '../../server/interfaces/records.ts';
import type { Period, RunFilter, RunStore } from '../../server/interfaces/store.ts';
import { dateOrNull, listPage, NOTHING } from './listing.ts';
import type { Schema } from './schema.ts';

const SORTABLE = {
  id: 'run.id',
  task_id: 'run.task_id',
  organization_id: 'run.organization_id',
  status: 'run.status',
  assigned_at: 'run.assigned_at',
  started_at: 'run.started_at',
  finished_at: 'run.finished_at',
};

const select = (db: Kysely<Schema>) =>
  db
    .selectFrom('run')
    .innerJoin('task', 'task.id', 'run.task_id')
    .leftJoin('node', (join) =>
      join
        .onRef('node.organization_id', '=', 'run.organization_id')
        .onRef('node.collaboration_id', '=', 'task.collaboration_id'),
    )
    .select([
      'run.id',
      'run.task_id',
      'run.organization_id',
      'run.status',
      'run.input',
      'run.result',
      'run.log',
      'run.assigned_at',
      'run.started_at',
      'run.finished_at',
      'run.kill_pending',
      'run.cleanup_at',
      'task.job_id',
      'task.parent_id',
      'task.study_id',
      'task.collaboration_id',
      'task.init_user_id',
      'task.init_org_id',
      'node.id as node_id',
      'node.name as node_name',
      'node.ip as node_ip',
      'node.online as node_online',
    ]);

type Query = ReturnType<typeof select>;
type Row = Awaited<ReturnType<Query['executeTakeFirstOrThrow']>>;

/** Adds the ports, with one query for any number of runs. */
async function complete(db: Kysely<Schema>, rows: readonly Row[]): Promise<RunRecord[]> {
  if (rows.length === 0) return [];
  const ports = await db
    .selectFrom('port')
    .select(['id', 'run_id as runId', 'port', 'protocol', 'label'])
    .where(
      'run_id',
      'in',
      rows.map((row) => row.id),
    )
    .orderBy('id')
    .execute();
  const portsOf = Map.groupBy(ports, (port) => port.runId);
  return rows.map((row) => ({
    id: row.id,
    taskId: row.task_id,
    jobId: row.job_id,
    parentId: row.parent_id,
    studyId: row.study_id,
    collaborationId: row.collaboration_id,
    organizationId: row.organization_id,
    status: row.status as RunStatus,
    input: row.input,
    result: row.result,
    log: row.log,
    assignedAt: new Date(row.assigned_at),
    startedAt: dateOrNull(row.started_at),
    finishedAt: dateOrNull(row.finished_at),
    cleanupAt: dateOrNull(row.cleanup_at),
    isKillPending: row.kill_pending === 1,
    initUserId: row.init_user_id,
    initOrganizationId: row.init_org_id,
    node:
      row.node_id === null
        ? null
        : {
            id: row.node_id,
            name: row.node_name ?? '',
            ip: row.node_ip,
            isOnline: row.node_online === 1,
          },
    ports: portsOf.get(row.id) ?? [],
  }));
}

export function runStore(db: Kysely<Schema>): RunStore {
  return {
    find: async (id) => {
      const row = await select(db).where('run.id', '=', id).executeTakeFirst();
      return row && (await complete(db, [row]))[0];
    },

    findOfTask: async (taskId, organizationId) => {
      const row = await select(db)
        .where('run.task_id', '=', taskId)
        .where('run.organization_id', '=', organizationId)
        .executeTakeFirst();
      return row && (await complete(db, [row]))[0];
    },

    list: async (filter, page) => {
      const { rows, total } = await listPage(filtered(select(db), filter), {
        page,
        sortable: SORTABLE,
        id: { column: 'run.id', descending: true },
      });
      return { rows: await complete(db, rows), total };
    },

    update: async (id, changes) => {
      const { status, startedAt, finishedAt, result, log, isKillPending } = changes;
      const values = {
        ...(status === undefined ? {} : { status }),
        ...(startedAt === undefined ? {} : { started_at: startedAt.toISOString() }),
        ...(finishedAt === undefined ? {} : { finished_at: finishedAt.toISOString() }),
        ...(result === undefined ? {} : { result }),
        ...(log === undefined ? {} : { log }),
        ...(isKillPending === undefined ? {} : { kill_pending: Number(isKillPending) }),
      };
      if (Object.keys(values).length === 0) return;
      await db.updateTable('run').set(values).where('id', '=', id).execute();
    },

    blank: async ({ endedBefore, at, includesInput, limit }) => {
      // An empty text and not null, as upstream: null is a result that did not come yet.
      const values = { result: '', cleanup_at: at.toISOString() };
      const { numUpdatedRows } = await db
        .updateTable('run')
        .set(includesInput ? { ...values, input: '' } : values)
        .where('id', 'in', (eb) =>
          eb
            .selectFrom('run')
            .select('id')
            .where('finished_at', '<', endedBefore.toISOString())
            .where('cleanup_at', 'is', null)
            .orderBy('id')
            .limit(limit),
        )
        .executeTakeFirstOrThrow();
      return Number(numUpdatedRows);
    },
  };
}

function filtered(query: Query, filter: RunFilter): Query {
  const { ids, taskIds, collaborationIds, organizationId, isOpen, isKillPending } = filter;
  let out = query;
  if (ids !== undefined) out = out.where('run.id', 'in', ids.length > 0 ? ids : NOTHING);
  if (taskIds !== undefined)
    out = out.where('run.task_id', 'in', taskIds.length > 0 ? taskIds : NOTHING);
  if (collaborationIds !== undefined) {
    const list = collaborationIds.length > 0 ? collaborationIds : NOTHING;
    out = out.where('task.collaboration_id', 'in', list);
  }
  if (organizationId !== undefined) out = out.where('run.organization_id', '=', organizationId);
  if (isOpen !== undefined) out = out.where('run.finished_at', isOpen ? 'is' : 'is not', null);
  if (filter.status !== undefined) out = out.where('run.status', '=', filter.status);
  if (isKillPending !== undefined) out = out.where('run.kill_pending', '=', Number(isKillPending));
  if (filter.initOrganizationId !== undefined)
    out = out.where('task.init_org_id', '=', filter.initOrganizationId);
  if (filter.initUserId !== undefined) out = out.where('task.init_user_id', '=', filter.initUserId);
  if (filter.isWaiting === true) {
    out = out
      .where('run.finished_at', 'is', null)
      .where('run.started_at', 'is', null)
      .where((eb) => eb.or([eb('node.id', 'is', null), eb('node.online', '=', 0)]));
  }
  const { port } = filter;
  if (port !== undefined) {
    out = out.where('run.id', 'in', (eb) =>
      eb.selectFrom('port').select('port.run_id').where('port.port', '=', port),
    );
  }
  out = within(out, 'run.assigned_at', filter.assigned);
  out = within(out, 'run.started_at', filter.started);
  return within(out, 'run.finished_at', filter.finished);
}

function within(
  query: Query,
  column: 'run.assigned_at' | 'run.started_at' | 'run.finished_at',
  period: Period | undefined,
): Query {
  let out = query;
  if (period?.from !== undefined) out = out.where(column, '>=', period.from.toISOString());
  if (period?.till !== undefined) out = out.where(column, '<=', period.till.toISOString());
  return out;
}
