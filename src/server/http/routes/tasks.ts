import { z } from 'zod';
import { RUN_STATUSES } from '../../../core/protocol/entities.ts';
import type { Identity } from '../../auth/identity.ts';
import {
  assertCanEndTask,
  assertCanKillAt,
  assertCanViewWork,
  visibleWork,
} from '../../auth/permissions.ts';
import type { TaskRecord } from '../../interfaces/records.ts';
import type { TaskFilter } from '../../interfaces/store.ts';
import { killNode, killTask, removeTask } from '../../services/kills.ts';
import { listAll } from '../../services/list-all.ts';
import { getNode } from '../../services/nodes.ts';
import { createTask, getTask } from '../../services/tasks.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { flag, id, list, listQuery, name, once, params, pattern } from '../fields.ts';
import { assertFound } from '../filters.ts';
import { pageRequest, sendPage } from '../paging.ts';

/** Inputs are base64 text and can be large. */
const BODY_LIMIT_BYTES = 64 * 1024 * 1024;

const json = z.record(z.string(), z.unknown());
const database = z.strictObject({
  label: z.string().min(1).max(128),
  arguments: json.optional(),
  preprocessing: z.array(json).optional(),
  query: z.string().optional(),
  sheet_name: z.string().optional(),
});

const createBody = z.strictObject({
  image: z.string().min(1).max(1024),
  // Other keys of an organization are ignored, as upstream does.
  organizations: z
    .array(z.object({ id, input: z.string() }))
    .min(1)
    .max(1000),
  collaboration_id: id.nullish(),
  study_id: id.nullish(),
  store_id: z.null('This server has no algorithm stores').optional(),
  server_url: z.string().nullish(),
  name: z.union([name, z.literal('')]).nullish(),
  description: z.string().max(1024).nullish(),
  databases: z.array(database).max(100).nullish(),
  /** Clients of 3.x name one database. */
  database: z.string().max(128).nullish(),
});

const include = list(z.enum(['runs', 'results'])).optional();
const query = listQuery({
  init_org_id: once(id).optional(),
  init_user_id: once(id).optional(),
  collaboration_id: once(id).optional(),
  study_id: once(id).optional(),
  store_id: once(id).optional(),
  parent_id: once(id).optional(),
  job_id: once(id).optional(),
  run_id: once(id).optional(),
  image: once(pattern).optional(),
  name: once(pattern).optional(),
  description: once(pattern).optional(),
  database: once(pattern).optional(),
  status: once(z.enum(RUN_STATUSES)).optional(),
  is_user_created: once(flag).optional(),
  include,
});

/** Tasks and how to end them. */
export function registerTaskRoutes(routes: Routes): void {
  registerReads(routes);
  registerWrites(routes);
}

function registerReads({ app, store, render }: Routes): void {
  const rendered = async (task: TaskRecord, included: readonly string[] | undefined) => {
    if (included === undefined || included.length === 0) return render.task(task);
    const runs = await listAll((page) => store.runs.list({ taskIds: [task.id] }, page));
    return {
      ...render.task(task),
      ...(included.includes('runs') ? { runs: runs.map((run) => render.run(run)) } : {}),
      ...(included.includes('results') ? { results: runs.map(render.result) } : {}),
    };
  };

  app.get('/task', { schema: { querystring: query } }, async (request, reply) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const wanted = request.query;
    const { rows, total } = await store.tasks.list(filterOf(identity, wanted), pageRequest(wanted));
    await assertFound(store, wanted, total);
    const data = await Promise.all(rows.map((row) => rendered(row, wanted.include)));
    return sendPage(request, reply, {
      query: wanted,
      rows: { rows: data, total },
      render: (row) => row,
    });
  });

  app.get(
    '/task/:id',
    { schema: { params, querystring: z.strictObject({ include }) } },
    async (request) => {
      const identity = callerOf(request, 'user', 'node', 'container');
      const task = await getTask(store, request.params.id);
      assertCanViewWork(identity, task, 'task');
      return rendered(task, request.query.include);
    },
  );

  app.get('/task/:id/status', { schema: { params } }, async (request) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const task = await getTask(store, request.params.id);
    assertCanViewWork(identity, task, 'task');
    return { status: task.status };
  });
}

function registerWrites({ app, store, events, clock, render }: Routes): void {
  const deps = { store, events, clock };
  app.post(
    '/task',
    { bodyLimit: BODY_LIMIT_BYTES, schema: { body: createBody } },
    async (request, reply) => {
      const identity = callerOf(request, 'user', 'container');
      const { body } = request;
      const task = await createTask(deps, identity, {
        name: body.name ?? '',
        description: body.description ?? '',
        image: body.image,
        collaborationId: body.collaboration_id ?? undefined,
        studyId: body.study_id ?? undefined,
        organizations: body.organizations,
        databases: databasesOf(body).map(({ label, ...parameters }) => ({
          label,
          parameters: JSON.stringify(parameters),
        })),
      });
      reply.code(201);
      return render.task(task);
    },
  );

  app.delete('/task/:id', { schema: { params } }, async (request) => {
    const user = callerOf(request, 'user');
    const task = await getTask(store, request.params.id);
    assertCanEndTask(user, task, { resource: 'task', operation: 'delete' });
    await removeTask(deps, task);
    return { msg: `Task ${task.id} is deleted` };
  });

  app.post('/kill/task', { schema: { body: z.strictObject({ id }) } }, async (request) => {
    const user = callerOf(request, 'user');
    const task = await getTask(store, request.body.id);
    assertCanEndTask(user, task, { resource: 'event', operation: 'send' });
    const count = await killTask(deps, task);
    return { msg: `Task ${task.id} is killed, with ${count} open runs` };
  });

  app.post('/kill/node/tasks', { schema: { body: z.strictObject({ id }) } }, async (request) => {
    const user = callerOf(request, 'user');
    const node = await getNode(store, request.body.id);
    assertCanKillAt(user, node);
    const count = await killNode(deps, node);
    return { msg: `Node ${node.id} ends all its tasks, ${count} of them open` };
  });
}

function filterOf(identity: Identity, wanted: z.infer<typeof query>): TaskFilter {
  const visible = visibleWork(identity, 'task');
  const isNothing =
    isOutside(visible.organizationId, wanted.init_org_id) ||
    isOutside(visible.userId, wanted.init_user_id) ||
    // No task has a store on this server.
    wanted.store_id !== undefined;
  return {
    ...(isNothing ? { ids: [] } : {}),
    collaborationIds: within(visible.collaborationIds, wanted.collaboration_id),
    initOrganizationId: visible.organizationId ?? wanted.init_org_id,
    initUserId: visible.userId ?? wanted.init_user_id,
    studyId: wanted.study_id,
    parentId: wanted.parent_id,
    jobId: wanted.job_id,
    runId: wanted.run_id,
    image: wanted.image,
    name: wanted.name,
    description: wanted.description,
    database: wanted.database,
    status: wanted.status,
    isTopLevel: wanted.is_user_created,
  };
}

function databasesOf(body: z.infer<typeof createBody>): readonly z.infer<typeof database>[] {
  if (body.databases !== null && body.databases !== undefined) return body.databases;
  const { database: label } = body;
  return label === null || label === undefined || label === '' ? [] : [{ label }];
}

/** Asked for something else than what somebody is limited to. */
export const isOutside = (limit: number | undefined, wanted: number | undefined): boolean =>
  limit !== undefined && wanted !== undefined && limit !== wanted;

/** Collaborations that somebody sees, narrowed to the one asked for. */
export function within(
  visible: readonly number[] | undefined,
  wanted: number | undefined,
): readonly number[] | undefined {
  if (wanted === undefined) return visible;
  return visible === undefined || visible.includes(wanted) ? [wanted] : [];
}
