import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import { assertCanViewWork, visibleWork } from '../../auth/permissions.ts';
import { findAddresses } from '../../services/addresses.ts';
import { clearPorts, registerPort } from '../../services/ports.ts';
import { getRun } from '../../services/runs.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { id, integer, listQuery, once, params } from '../fields.ts';
import { pageRequest, sendPage } from '../paging.ts';

const createBody = z.strictObject({
  port: integer(1, 65_535),
  run_id: id.optional(),
  /** What 3.x calls a run. */
  result_id: id.optional(),
  label: z.string().max(128).nullish(),
  /** Ours. Upstream knows tcp only, and says nothing. */
  protocol: z.enum(['tcp', 'udp']).default('tcp'),
});

const flagText = once(z.string().max(64)).optional();
const addressQuery = z.strictObject({
  label: once(z.string().max(128)).optional(),
  only_children: flagText,
  only_parent: flagText,
  only_siblings: flagText,
  only_self: flagText,
  include_children: flagText,
  include_parent: flagText,
});

/** Tunnel ports of runs, and what algorithms learn of them. */
export function registerPortRoutes(routes: Routes): void {
  registerWrites(routes);
  registerReads(routes);
}

function registerWrites({ app, store, render }: Routes): void {
  app.post('/port', { schema: { body: createBody } }, async (request, reply) => {
    const node = callerOf(request, 'node');
    const { port, label, protocol } = request.body;
    const record = { runId: runIdOf(request.body), port, protocol, label: label ?? null };
    const created = await registerPort(store, node, record);
    reply.code(201);
    return render.port(created);
  });

  const deletion = z.strictObject({
    run_id: once(id).optional(),
    result_id: once(id).optional(),
  });
  app.delete('/port', { schema: { querystring: deletion } }, async (request) => {
    const node = callerOf(request, 'node');
    const runId = runIdOf(request.query);
    await clearPorts(store, node, runId);
    return { msg: `The ports of run ${runId} are removed` };
  });
}

/** Throws V6_REQUEST_INVALID when neither name is there. */
function runIdOf(named: {
  readonly run_id?: number | undefined;
  readonly result_id?: number | undefined;
}): number {
  const runId = named.run_id ?? named.result_id;
  if (runId !== undefined) return runId;
  throw new V6Error('V6_REQUEST_INVALID', 'run_id is missing', {
    details: { errors: { run_id: ['Missing.'] } },
  });
}

function registerReads({ app, store, render }: Routes): void {
  const query = listQuery({ run_id: once(id).optional() });
  app.get('/port', { schema: { querystring: query } }, async (request, reply) => {
    const identity = callerOf(request, 'user', 'node');
    const visible = visibleWork(identity, 'run');
    const { run_id: runId } = request.query;
    if (runId !== undefined) assertCanViewWork(identity, await getRun(store, runId), 'run');
    const rows = await store.ports.list(
      {
        runId,
        collaborationIds: visible.isAll ? undefined : (visible.collaborationIds ?? []),
      },
      pageRequest(request.query),
    );
    return sendPage(request, reply, { query: request.query, rows, render: render.port });
  });

  app.get('/port/:id', { schema: { params } }, async (request) => {
    const identity = callerOf(request, 'user', 'node');
    const port = await store.ports.find(request.params.id);
    if (port === undefined)
      throw new V6Error('V6_REQUEST_NOT_FOUND', `There is no port with id ${request.params.id}`);
    assertCanViewWork(identity, await getRun(store, port.runId), 'run');
    return render.port(port);
  });

  app.get(
    '/vpn/algorithm/addresses',
    { schema: { querystring: addressQuery } },
    async (request, reply) => {
      const container = callerOf(request, 'container');
      const list = await findAddresses(store, container, request.query);
      reply.header('content-type', 'application/json; charset=utf-8');
      return reply.send(`{"addresses":${list}}`);
    },
  );
}
