import { randomUUID } from 'node:crypto';
import Fastify, { type FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { V6Error } from '../core/errors.ts';
import { authenticate } from './auth/identity.ts';
import { logAccess } from './http/access-log.ts';
import type { App, AppDeps, Routes } from './http/app-types.ts';
import { createErrorHandler, validatorCompiler } from './http/errors.ts';
import { measure } from './http/measure.ts';
import { collectRoutes } from './http/openapi/routes.ts';
import { createRender } from './http/render.ts';
import { registerAbsentRoutes } from './http/routes/absent.ts';
import { registerApiDocs } from './http/routes/apidocs.ts';
import { registerCollaborationRoutes } from './http/routes/collaborations.ts';
import { registerColumnRoutes } from './http/routes/columns.ts';
import { registerLegacyRoutes } from './http/routes/legacy.ts';
import { registerNodeRoutes } from './http/routes/nodes.ts';
import { registerOrganizationRoutes } from './http/routes/organizations.ts';
import { registerPortRoutes } from './http/routes/ports.ts';
import { registerRecoveryRoutes } from './http/routes/recovery.ts';
import { registerRoleRoutes } from './http/routes/roles.ts';
import { registerRuleRoutes } from './http/routes/rules.ts';
import { registerRunRoutes } from './http/routes/runs.ts';
import { registerServiceRoutes } from './http/routes/service.ts';
import { registerStudyRoutes } from './http/routes/studies.ts';
import { registerTaskRoutes } from './http/routes/tasks.ts';
import { registerTokenRoutes } from './http/routes/tokens.ts';
import { registerUserRoutes } from './http/routes/users.ts';
import { registerVpnRoutes } from './http/routes/vpn.ts';
import {
  connectionOptions,
  guardConnections,
  limitRates,
  refusalLimiter,
} from './http/transport.ts';
import { answerClientError, answerExpectations } from './http/wire-errors.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Reached without an access token. Everything else needs one. */
    isPublic?: boolean;
    /** Reached over plain http where `require_tls` refuses everything else. */
    isOpen?: boolean;
  }
}

/** For a whole request with its body, as Node's own default; fastify's is none. */
const REQUEST_TIMEOUT_MS = 300_000;

/** The REST interface, listening nowhere: `inject` answers requests in tests, compose.ts listens. */
export async function buildApp(deps: AppDeps): Promise<App> {
  const handleError = createErrorHandler(deps.logger);
  const app: App = Fastify({
    ...connectionOptions(deps.transport, deps.certificate),
    logger: false,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    bodyLimit: 1024 * 1024,
    requestTimeout: REQUEST_TIMEOUT_MS,
    frameworkErrors: handleError,
    clientErrorHandler: answerClientError,
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: true },
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.decorateRequest('identity', undefined);
  app.decorateRequest('session', undefined);
  logAccess(app, deps.logger);
  if (deps.metrics !== undefined) measure(app, deps.metrics);
  acceptEmptyJson(app);
  refuseCompression(app);
  answerExpectations(app.server);
  requireHost(app);
  await guardConnections(app, deps.transport);
  const knownPaths = rememberPaths(app);
  const documented = collectRoutes(app, deps.apiPath);
  await limitRates(app, deps.transport);
  addAuthentication(app, deps);
  app.setErrorHandler(handleError);
  app.setNotFoundHandler((request) => {
    throw unknownRoute(request, knownPaths);
  });
  await app.register(
    async (scope) => {
      const routes: Routes = { ...deps, app: scope, render: createRender(deps.apiPath) };
      registerServiceRoutes(routes);
      registerTokenRoutes(routes);
      registerRecoveryRoutes(routes);
      registerOrganizationRoutes(routes);
      registerCollaborationRoutes(routes);
      registerNodeRoutes(routes);
      registerUserRoutes(routes);
      registerRoleRoutes(routes);
      registerRuleRoutes(routes);
      registerTaskRoutes(routes);
      registerRunRoutes(routes);
      registerPortRoutes(routes);
      registerVpnRoutes(routes);
      registerStudyRoutes(routes);
      registerColumnRoutes(routes);
      registerAbsentRoutes(routes);
      registerLegacyRoutes(routes);
    },
    { prefix: deps.apiPath },
  );
  registerApiDocs(app, { apiPath: deps.apiPath, routes: documented });
  await app.ready();
  return app;
}

/** Clients send `content-type: application/json` also where there is no body. */
function acceptEmptyJson(app: App): void {
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    const text = String(body);
    if (text.trim() === '') {
      done(null, undefined);
      return;
    }
    try {
      done(null, JSON.parse(text) as unknown);
    } catch {
      done(new V6Error('V6_REQUEST_INVALID', 'The body is not JSON'));
    }
  });
}

/** RFC 9112, 3.2. */
function requireHost(app: App): void {
  app.addHook('onRequest', async ({ headers, raw }) => {
    if (headers.host === undefined && raw.httpVersion === '1.1')
      throw new V6Error('V6_REQUEST_INVALID', 'The request has no Host header');
  });
}

/** A few bytes could stand for gigabytes; no client compresses. */
function refuseCompression(app: App): void {
  app.addHook('preParsing', async (request) => {
    const encoding = request.headers['content-encoding'] ?? 'identity';
    if (encoding === 'identity' || request.method === 'GET') return;
    throw Object.assign(new Error(`Bodies are not read as ${encoding.slice(0, 64)}`), {
      statusCode: 415,
    });
  });
}

/** Before the body is read: a stranger cannot make us read 64 MiB. */
function addAuthentication(app: App, deps: AppDeps): void {
  const countRefusal = refusalLimiter(app);
  app.addHook('onRequest', async (request) => {
    const isRoute = request.routeOptions.url !== undefined;
    if (!isRoute || request.routeOptions.config.isPublic === true) return;
    const { identity, session } = await authenticate(deps, request.headers.authorization).catch(
      async (error: unknown) => {
        await countRefusal(request);
        throw error;
      },
    );
    request.identity = identity;
    request.session = session;
    if (identity.kind === 'container') return;
    const { kind, id } = identity;
    // Nobody waits for this write, and no request fails by it.
    deps.presence.seen(kind, id).catch((error: unknown) => {
      deps.logger.warn('The time of a last request could not be stored', { [kind]: id, error });
    });
  });
}

/** Patterns of all routes, to tell a wrong method from an unknown path. */
function rememberPaths(app: App): ReadonlyMap<string, Set<string>> {
  const paths = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const methods = paths.get(url) ?? new Set<string>();
    for (const one of [method].flat()) methods.add(one);
    paths.set(url, methods);
  });
  return paths;
}

function unknownRoute(
  request: FastifyRequest,
  paths: ReadonlyMap<string, ReadonlySet<string>>,
): V6Error {
  const path = (request.url.split('?')[0] ?? '').replace(/\/+$/, '');
  for (const [url, methods] of paths) {
    const pattern = new RegExp(`^${url.replaceAll(/:\w+/g, '[^/]+')}$`);
    if (!pattern.test(path)) continue;
    return new V6Error(
      'V6_REQUEST_METHOD',
      `${request.method} is not possible here, only ${[...methods].join(', ')}`,
    );
  }
  return new V6Error('V6_REQUEST_NOT_FOUND', `There is nothing at ${request.method} ${path}`);
}
