import type { FastifyRequest } from 'fastify';
import type { Logger } from '../../core/logger.ts';
import type { App } from './app-types.ts';

/** Method and pattern of the route: a path may hold ids only, a query could hold more. */
export const routeOf = (request: FastifyRequest): string =>
  `${request.method} ${request.routeOptions.url ?? request.url.split('?')[0]}`;

/** Who asks, as far as it is known. */
export function callerName({ identity }: FastifyRequest): string {
  if (identity === undefined) return 'nobody';
  return identity.kind === 'container'
    ? `run ${identity.runId}`
    : `${identity.kind} ${identity.id}`;
}

/**
 * Every answer carries `x-request-id`, and every line about a request the same id as `request`. One line per answer at level
 * debug. The id is ours and never the caller's: a header could name another's.
 */
export function logAccess(app: App, logger: Logger): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  app.addHook('onResponse', async (request, reply) => {
    logger.debug('A request was answered', {
      request: request.id,
      route: routeOf(request),
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime * 10) / 10,
      caller: callerName(request),
      source: request.ip,
    });
  });
}
