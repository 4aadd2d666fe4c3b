import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from '../../core/logger.ts';
import { type ApiDeps, addApiRoutes } from './api.ts';
import { PREFIX, sendJson, sendPage } from './exchange.ts';
import { addLoginRoutes, type LoginDeps, sendLogin } from './login.ts';
import { addOAuthRoutes, type OAuthDeps } from './oauth.ts';
import { renderErrorPage } from './pages.ts';

export type PortalAppDeps = Omit<LoginDeps, 'url'> &
  OAuthDeps &
  ApiDeps & {
    readonly settings: ApiDeps['settings'] & OAuthDeps['settings'];
    readonly logger: Logger;
  };

/** Forms of a login carry a URL within a URL; nothing here is longer. */
const BODY_LIMIT_BYTES = 64 * 1024;

/** The portal as clients see it. The caller listens and closes. */
export function buildPortalApp(deps: PortalAppDeps): FastifyInstance {
  const app = Fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: 30_000,
    forceCloseConnections: true,
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (_request, body, done) => done(null, body),
  );
  // Only forms carry parameters: anything else counts as none.
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, _body, done) => done(null, null));

  addLoginRoutes(app, { ...deps, url: deps.settings.url });
  addOAuthRoutes(app, deps);
  addApiRoutes(app, deps);

  app.setNotFoundHandler((request, reply) => {
    if (!request.url.startsWith(`${PREFIX}/`)) {
      return sendPage(reply, 404, renderErrorPage(404, 'not found'));
    }
    const { user } = deps.sessions.open(request.headers.cookie);
    if (user !== undefined) return sendPage(reply, 404, renderErrorPage(404, 'not found'));
    return sendLogin(request, reply, { url: deps.settings.url, sessions: deps.sessions });
  });
  app.setErrorHandler((error: { statusCode?: number; code?: string }, _request, reply) => {
    const status = error.statusCode ?? 500;
    if (status < 500) return sendJson(reply, status, { error: 'invalid request' });
    deps.logger.error('A request failed', { code: error.code ?? 'V6_BUG', error });
    return sendJson(reply, 500, { error: 'internal error' });
  });
  return app;
}
