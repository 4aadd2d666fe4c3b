import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import { notFound } from '../../services/nodes.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { id, listQuery, once, params, pattern } from '../fields.ts';
import { sendPage } from '../paging.ts';

/** What clients ask for and this server does not have (algorithm stores, blobs), in the way that they understand. */
export function registerAbsentRoutes(routes: Routes): void {
  registerStores(routes);
  registerBlobs(routes);
}

function registerStores({ app }: Routes): void {
  const query = listQuery({
    name: once(pattern).optional(),
    url: once(pattern).optional(),
    collaboration_id: once(id).optional(),
  });
  app.get('/algorithmstore', { schema: { querystring: query } }, async (request, reply) => {
    callerOf(request, 'user', 'node');
    const rows = { rows: [], total: 0 };
    return sendPage(request, reply, { query: request.query, rows, render: (row) => row });
  });
  app.get('/algorithmstore/:id', { schema: { params } }, async (request) => {
    callerOf(request, 'user', 'node');
    throw notFound('algorithm store', request.params.id);
  });
  // Their bodies are not read: whatever they hold, the answer is the same.
  for (const [method, path] of [
    ['POST', '/algorithmstore'],
    ['PATCH', '/algorithmstore/:id'],
    ['DELETE', '/algorithmstore/:id'],
  ] as const) {
    app.route({
      method,
      url: path,
      onRequest: async (request) => {
        callerOf(request, 'user');
        throw unsupported('algorithm stores', 'Nodes decide which images they run, by policies.');
      },
      handler: async () => ({}),
    });
  }
}

function registerBlobs({ app }: Routes): void {
  // Refused before the body is read: it may be large.
  app.post(
    '/blobstream',
    {
      onRequest: async (request) => {
        callerOf(request, 'user', 'node', 'container');
        throw unsupported('a blob store', 'Send inputs and results as text.');
      },
    },
    async () => ({}),
  );
  const blob = z.object({ id: z.string().min(1).max(128) });
  app.get('/blobstream/:id', { schema: { params: blob } }, async (request) => {
    callerOf(request, 'user', 'node', 'container');
    throw new V6Error('V6_REQUEST_NOT_FOUND', 'There is no such blob: this server keeps none');
  });
}

const unsupported = (what: string, hint: string): V6Error =>
  new V6Error('V6_REQUEST_UNSUPPORTED', `This server does not have ${what}`, { hints: [hint] });
