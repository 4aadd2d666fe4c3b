import { z } from 'zod';
import { RUN_STATUSES } from '../../../core/protocol/entities.ts';
import type { Identity } from '../../auth/identity.ts';
import { assertCanViewWork, forbidden, visibleWork } from '../../auth/permissions.ts';
import type { RunRecord } from '../../interfaces/records.ts';
import type { RunFilter, Store } from '../../interfaces/store.ts';
import { LARGEST_PAGE } from '../../services/list-all.ts';
import { getNode } from '../../services/nodes.ts';
import { getRun, patchRun } from '../../services/runs.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { date, id, integer, list, listQuery, moment, once, params } from '../fields.ts';
import { assertFound } from '../filters.ts';
import { pageRequest, sendPage } from '../paging.ts';
import { printable } from '../plain-data.ts';
import { isOutside, within } from './tasks.ts';

/** Results are base64 text and can be large. */
const BODY_LIMIT_BYTES = 64 * 1024 * 1024;

const include = list(z.enum(['task'])).optional();
const filters = {
  task_id: once(id).optional(),
  organization_id: once(id).optional(),
  collaboration_id: once(id).optional(),
  node_id: once(id).optional(),
  state: once(z.literal('open')).optional(),
  port: once(integer(1, 65_535)).optional(),
  assigned_from: once(moment).optional(),
  assigned_till: once(moment).optional(),
  started_from: once(moment).optional(),
  started_till: once(moment).optional(),
  finished_from: once(moment).optional(),
  finished_till: once(moment).optional(),
  include,
};
const query = listQuery(filters);
type Wanted = z.infer<typeof query>;

const text = z.string().nullish();
const patchBody = z.strictObject({
  started_at: date.nullish(),
  finished_at: date.nullish(),
  result: text,
  log: z.string().transform(printable).nullish(),
  status: z.enum(RUN_STATUSES).nullish(),
});

/** Runs, as nodes work on them, and their results. */
export function registerRunRoutes(routes: Routes): void {
  registerRuns(routes);
  registerResults(routes);
  registerPatch(routes);
}

function registerRuns({ app, store, render }: Routes): void {
  const rendered = async (runs: readonly RunRecord[], included: readonly string[] | undefined) => {
    if (included?.includes('task') !== true) return runs.map((run) => render.run(run));
    const ids = [...new Set(runs.map((run) => run.taskId))];
    const { rows } = await store.tasks.list({ ids }, LARGEST_PAGE);
    return runs.map((run) =>
      render.run(
        run,
        rows.find((task) => task.id === run.taskId),
      ),
    );
  };

  /** `view=network`, ours: without inputs and logs, for nodes that read again and again who takes part in a task. */
  const listed = query.extend({ view: once(z.literal('network')).optional() });
  app.get('/run', { schema: { querystring: listed } }, async (request, reply) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const filter = await filterOf(store, identity, request.query);
    const { rows, total } = await store.runs.list(filter, pageRequest(request.query));
    await assertFound(store, request.query, total);
    const all = await rendered(rows, request.query.include);
    const data = request.query.view === undefined ? all : all.map(withoutTexts);
    return sendPage(request, reply, {
      query: request.query,
      rows: { rows: data, total },
      render: (row) => row,
    });
  });

  app.get(
    '/run/:id',
    { schema: { params, querystring: z.strictObject({ include }) } },
    async (request) => {
      const identity = callerOf(request, 'user', 'node', 'container');
      const run = await getRun(store, request.params.id);
      assertCanViewWork(identity, run, 'run');
      return (await rendered([run], request.query.include))[0];
    },
  );
}

function registerResults({ app, store, render }: Routes): void {
  app.get('/result', { schema: { querystring: query } }, async (request, reply) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const filter = await filterOf(store, identity, request.query);
    const rows = await store.runs.list(filter, pageRequest(request.query));
    await assertFound(store, request.query, rows.total);
    return sendPage(request, reply, { query: request.query, rows, render: render.result });
  });

  app.get('/result/:id', { schema: { params } }, async (request) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const run = await getRun(store, request.params.id);
    assertCanViewWork(identity, run, 'run');
    return render.result(run);
  });
}

function registerPatch({ app, store, events, clock, render }: Routes): void {
  app.patch(
    '/run/:id',
    { bodyLimit: BODY_LIMIT_BYTES, schema: { params, body: patchBody } },
    async (request) => {
      const node = callerOf(request, 'node');
      const { body } = request;
      const run = await patchRun({ store, events, clock }, node, {
        id: request.params.id,
        patch: {
          status: body.status ?? undefined,
          startedAt: body.started_at ?? undefined,
          finishedAt: body.finished_at ?? undefined,
          result: body.result ?? undefined,
          log: body.log ?? undefined,
        },
      });
      return render.run(run);
    },
  );
}

function withoutTexts<T extends object>(run: T): Omit<T, 'input' | 'log'> {
  const { input: _, log: __, ...rest } = run as T & { input?: unknown; log?: unknown };
  return rest;
}

/** What is asked for, within what the caller sees. */
async function filterOf(store: Store, identity: Identity, wanted: Wanted): Promise<RunFilter> {
  const visible = visibleWork(identity, 'run');
  const node = wanted.node_id === undefined ? undefined : await getNode(store, wanted.node_id);
  if (node !== undefined && within(visible.collaborationIds, node.collaborationId)?.length === 0)
    throw forbidden('You may not view the runs of this node');
  const ofNode = node === undefined ? wanted.collaboration_id : node.collaborationId;
  const { organization_id: organization } = wanted;
  return {
    // Two limits that exclude each other.
    ...(isOutside(node?.organizationId, organization) ? { ids: [] } : {}),
    taskIds: wanted.task_id === undefined ? undefined : [wanted.task_id],
    collaborationIds: within(visible.collaborationIds, ofNode),
    organizationId: node?.organizationId ?? organization,
    initOrganizationId: visible.organizationId,
    initUserId: visible.userId,
    isOpen: wanted.state === 'open' ? true : undefined,
    port: wanted.port,
    assigned: { from: wanted.assigned_from, till: wanted.assigned_till },
    started: { from: wanted.started_from, till: wanted.started_till },
    finished: { from: wanted.finished_from, till: wanted.finished_till },
  };
}
