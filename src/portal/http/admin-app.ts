import Fastify, { type FastifyInstance } from 'fastify';
import { toV6Error } from '../../core/errors.ts';
import { isRecord } from '../../core/protocol/json.ts';
import type { PortalReport, RevokedNode } from '../interfaces/portal-admin.ts';

export interface AdminDeps {
  readonly report: () => Promise<PortalReport>;
  readonly revoke: (node: string, options: { readonly release: boolean }) => Promise<RevokedNode>;
}

/** What the commands ask; it listens on a unix socket that only its owner reaches. */
export function buildAdminApp(deps: AdminDeps): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true });
  app.get('/report', () => deps.report());
  app.post('/revoke', (request, reply) => {
    const { node, release } = isRecord(request.body) ? request.body : {};
    if (typeof node !== 'string') return reply.code(400).send({ msg: 'node is missing' });
    return deps.revoke(node, { release: release === true });
  });
  app.setErrorHandler((thrown, _request, reply) => {
    const error = toV6Error(thrown);
    return reply.code(error.entry.httpStatus).send({ msg: error.message, code: error.code });
  });
  return app;
}
