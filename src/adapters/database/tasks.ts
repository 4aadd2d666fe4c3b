import { type Kysely, sql } from 'kysely';
import { type RunStatus, taskStatus } from '../../core/protocol/entities.ts';
import type { TaskRecord } from '../../server/interfaces/records.ts';
import type { NewTaskFields, TaskFilter, TaskStore } from '../../server/interfaces/store.ts';
import { listPage, matches, NOTHING } from './listing.ts';
import type { Schema } from './schema.ts';
import { hasStatus } from './task-status.ts';
import { inTransaction } from './transactions.ts';

const SORTABLE = {
  id: 'task.id',
  name: 'task.name',
  job_id: 'task.job_id',
  image: 'task.image',
  created_at: 'task.created_at',
};

const select = (db: Kysely<Schema>) =>
  db
    .selectFrom('task')
    .select([
      'task.id',
      'task.job_id',
      'task.name',
      'task.description',
      'task.image',
      'task.collaboration_id',
      'task.parent_id',
      'task.init_org_id',
      'task.init_user_id',
      'task.created_at',
      'task.study_id',
    ]);

type Row = Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirstOrThrow']>>;

/**
 * Adds databases and the status, with two queries for any number of tasks. The status depends on which statuses the runs have
 * and not on how many runs: a thousand nodes that read a new task at once must not read a thousand runs each.
 */
async function complete(db: Kysely<Schema>, rows: readonly Row[]): Promise<TaskRecord[]> {
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const databases = await db
    .selectFrom('task_database')
    .select(['task_id', 'label', 'parameters'])
    .where('task_id', 'in', ids)
    .orderBy('task_id')
    .orderBy('position')
    .execute();
  const kinds = await db
    .selectFrom('run')
    .select((eb) => ['task_id', 'status', eb.fn.max('finished_at').as('last')])
    .where('task_id', 'in', ids)
    .groupBy(['task_id', 'status'])
    .execute();
  const databasesOf = Map.groupBy(databases, (row) => row.task_id);
  const kindsOf = Map.groupBy(kinds, (row) => row.task_id);
  return rows.map((row) => {
    const own = kindsOf.get(row.id) ?? [];
    const status = taskStatus(own.map((kind) => kind.status as RunStatus));
    const last = own
      .flatMap((kind) => kind.last ?? [])
      .toSorted()
      .at(-1);
    return {
      id: row.id,
      jobId: row.job_id,
      name: row.name,
      description: row.description,
      image: row.image,
      collaborationId: row.collaboration_id,
      studyId: row.study_id,
      parentId: row.parent_id,
      initOrganizationId: row.init_org_id,
      initUserId: row.init_user_id,
      createdAt: new Date(row.created_at),
      databases: (databasesOf.get(row.id) ?? []).map(({ label, parameters }) => ({
        label,
        parameters,
      })),
      status,
      finishedAt: status === 'completed' && last !== undefined ? new Date(last) : null,
    };
  });
}

export function taskStore(db: Kysely<Schema>): TaskStore {
  return {
    find: async (id) => {
      const row = await select(db).where('task.id', '=', id).executeTakeFirst();
      return row && (await complete(db, [row]))[0];
    },

    list: async (filter, page) => {
      const { rows, total } = await listPage(filtered(db, filter), {
        page,
        sortable: SORTABLE,
        id: { column: 'task.id', descending: true },
      });
      return { rows: await complete(db, rows), total };
    },

    create: (fields) => inTransaction(db, (trx) => insertTask(trx, fields)),

    family: async (id) => {
      const { rows } = await sql<{ id: number }>`
        with recursive family(id) as (
          select id from task where id = ${id}
          union select task.id from task join family on task.parent_id = family.id
        ) select id from family order by id`.execute(db);
      return rows.map((row) => row.id);
    },

    remove: async (id) => {
      await db.deleteFrom('task').where('id', '=', id).execute();
    },
  };
}

function filtered(db: Kysely<Schema>, filter: TaskFilter): ReturnType<typeof select> {
  const { ids, collaborationIds, isTopLevel, runId } = filter;
  let out = select(db);
  if (ids !== undefined) out = out.where('task.id', 'in', ids.length > 0 ? ids : NOTHING);
  if (collaborationIds !== undefined) {
    const list = collaborationIds.length > 0 ? collaborationIds : NOTHING;
    out = out.where('task.collaboration_id', 'in', list);
  }
  if (filter.initOrganizationId !== undefined)
    out = out.where('task.init_org_id', '=', filter.initOrganizationId);
  if (filter.initUserId !== undefined) out = out.where('task.init_user_id', '=', filter.initUserId);
  if (filter.parentId !== undefined) out = out.where('task.parent_id', '=', filter.parentId);
  if (filter.jobId !== undefined) out = out.where('task.job_id', '=', filter.jobId);
  if (filter.name !== undefined) out = out.where(matches(db, 'task.name', filter.name));
  if (filter.image !== undefined) out = out.where(matches(db, 'task.image', filter.image));
  if (filter.description !== undefined)
    out = out.where(matches(db, 'task.description', filter.description));
  if (isTopLevel !== undefined)
    out = out.where('task.parent_id', isTopLevel ? 'is' : 'is not', null);
  if (runId !== undefined) {
    out = out.where('task.id', 'in', (eb) =>
      eb.selectFrom('run').select('run.task_id').where('run.id', '=', runId),
    );
  }
  if (filter.studyId !== undefined) out = out.where('task.study_id', '=', filter.studyId);
  const { database, status } = filter;
  if (database !== undefined) {
    out = out.where('task.id', 'in', (eb) =>
      eb.selectFrom('task_database').select('task_database.task_id').where('label', '=', database),
    );
  }
  return status === undefined ? out : out.where((eb) => hasStatus(eb, status));
}

/** Far below the limits of parameters in one statement (SQLite 32,766, PostgreSQL 65,535), and one text for nearly all. */
const RUNS_PER_INSERT = 100;

async function insertTask(db: Kysely<Schema>, fields: NewTaskFields): Promise<number> {
  const createdAt = fields.createdAt.toISOString();
  const jobId = fields.jobId ?? (await insertJob(db, createdAt));
  const { id } = await db
    .insertInto('task')
    .values({
      job_id: jobId,
      name: fields.name,
      description: fields.description,
      image: fields.image,
      collaboration_id: fields.collaborationId,
      parent_id: fields.parentId,
      init_org_id: fields.initOrganizationId,
      init_user_id: fields.initUserId,
      created_at: createdAt,
      study_id: fields.studyId ?? null,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  for (const [position, database] of fields.databases.entries()) {
    await db
      .insertInto('task_database')
      .values({ task_id: id, position, ...database })
      .execute();
  }
  for (let at = 0; at < fields.runs.length; at += RUNS_PER_INSERT) {
    await db
      .insertInto('run')
      .values(
        fields.runs.slice(at, at + RUNS_PER_INSERT).map((run) => ({
          task_id: id,
          organization_id: run.organizationId,
          status: 'pending',
          input: run.input,
          assigned_at: createdAt,
        })),
      )
      .execute();
  }
  return id;
}

async function insertJob(db: Kysely<Schema>, createdAt: string): Promise<number> {
  const { id } = await db
    .insertInto('job')
    .values({ created_at: createdAt })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}
