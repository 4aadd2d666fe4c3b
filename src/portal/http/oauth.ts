import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Authorizations } from '../authorizations.ts';
import type { BrowserSessions } from '../browser-sessions.ts';
import type { EmbeddedPortalSettings } from '../settings.ts';
import { basicOf, formOf, PREFIX, queryOf, sendJson, sendPage, sendRedirect } from './exchange.ts';
import { sendLogin } from './login.ts';
import { renderErrorPage } from './pages.ts';

export interface OAuthDeps {
  readonly settings: Pick<EmbeddedPortalSettings, 'url' | 'client'>;
  readonly sessions: BrowserSessions;
  readonly authorizations: Authorizations;
}

/** The authorize and the token endpoint (RFC 6749, 7636, 9207), with eduVPN's rules: all seven parameters, S256 only. */
export function addOAuthRoutes(app: FastifyInstance, deps: OAuthDeps): void {
  app.get(`${PREFIX}/oauth/authorize`, (request, reply) => authorize(request, reply, deps));
  app.post(`${PREFIX}/oauth/token`, (request, reply) => token(request, reply, deps));
  app.get(`${PREFIX}/oauth/token`, (_request, reply) =>
    sendJson(reply, 401, { error: 'unable to authenticate user' }),
  );
  // Where portals of version 2 had it: a client that looks there must not take a page for an answer.
  app.post(`${PREFIX}/oauth.php/token`, (_request, reply) =>
    sendJson(reply, 400, { error: 'invalid_grant' }),
  );
}

function authorize(request: FastifyRequest, reply: FastifyReply, deps: OAuthDeps): FastifyReply {
  const { user } = deps.sessions.open(request.headers.cookie);
  if (user === undefined) {
    return sendLogin(request, reply, { url: deps.settings.url, sessions: deps.sessions });
  }
  const query = queryOf(request);
  const problem = authorizeProblem(query, deps.settings.client);
  if (problem !== undefined) {
    return sendPage(reply, problem.status, renderErrorPage(problem.status, problem.text));
  }
  const redirectUri = query.get('redirect_uri') ?? '';
  const code = deps.authorizations.grantCode({
    user,
    redirectUri,
    challenge: query.get('code_challenge') ?? '',
  });
  const answer = new URLSearchParams({
    code,
    state: query.get('state') ?? '',
    iss: `${deps.settings.url}/`,
  });
  // Put together as text: a redirect URI without a path stays without one.
  const separator = redirectUri.includes('?') ? '&' : '?';
  return sendRedirect(reply, `${redirectUri}${separator}${answer.toString()}`);
}

interface Problem {
  readonly status: 400 | 401;
  readonly text: string;
}

const invalid = (error: string, why: string, status: 400 | 401 = 400): Problem => ({
  status,
  text: `ERROR: ${error} (${why})`,
});

/** Shown as a page and never sent to the redirect URI: until it is checked, that may be anybody's. */
function authorizeProblem(
  query: ReadonlyMap<string, string>,
  client: EmbeddedPortalSettings['client'],
): Problem | undefined {
  const names = [
    'client_id',
    'redirect_uri',
    'response_type',
    'scope',
    'state',
    'code_challenge_method',
    'code_challenge',
  ];
  const missing = names.find((name) => !query.has(name));
  if (missing !== undefined) return invalid('invalid_request', `missing "${missing}" parameter`);
  if (query.get('client_id') !== client.id) {
    return invalid('invalid_client', 'client does not exist with this "client_id"', 401);
  }
  if (!client.redirectUris.includes(query.get('redirect_uri') ?? '')) {
    return invalid('invalid_client', 'client does not support this "redirect_uri"', 401);
  }
  if (query.get('response_type') !== 'code') {
    return invalid('unsupported_response_type', 'unsupported "response_type"');
  }
  if (query.get('scope') !== 'config') {
    return invalid('invalid_scope', 'client does not support this "scope"');
  }
  if (!/^[\x20-\x7e]{1,1024}$/.test(query.get('state') ?? '')) {
    return invalid('invalid_request', 'invalid "state"');
  }
  if (query.get('code_challenge_method') !== 'S256') {
    return invalid('invalid_request', 'invalid "code_challenge_method"');
  }
  if (!/^[A-Za-z0-9_-]{43}$/.test(query.get('code_challenge') ?? '')) {
    return invalid('invalid_request', 'invalid "code_challenge"');
  }
  return undefined;
}

async function token(
  request: FastifyRequest,
  reply: FastifyReply,
  deps: OAuthDeps,
): Promise<FastifyReply> {
  const outcome = await deps.authorizations.issue({
    form: formOf(request),
    basic: basicOf(request.headers.authorization),
  });
  reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' });
  if (!outcome.ok) {
    const { status, error, description } = outcome.refusal;
    if (status === 401) reply.header('www-authenticate', 'Basic realm="OAuth"');
    return sendJson(reply, status, { error, error_description: description });
  }
  const { accessToken, refreshToken, expiresInSeconds } = outcome.tokens;
  return sendJson(reply, 200, {
    access_token: accessToken,
    refresh_token: refreshToken,
    token_type: 'bearer',
    expires_in: expiresInSeconds,
  });
}
