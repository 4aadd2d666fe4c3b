import { createHash, randomBytes } from 'node:crypto';
import { CookieJar } from 'tough-cookie';
import type { PortalSettings } from '../../core/config/portal-settings.ts';
import type { V6Error } from '../../core/errors.ts';
import {
  accountDisabled,
  approvalNeeded,
  wrongAccount,
  wrongClient,
  wrongRedirect,
} from './account-errors.ts';
import type { PortalEndpoints } from './discovery.ts';
import { readPortalPage } from './login-page.ts';
import { notUnderstood, reasonOf } from './portal-answer.ts';
import { exchange, type PortalAnswer, type PortalHttpOptions, placeOf } from './portal-http.ts';

/** What the token endpoint asks for. */
export interface AuthorizationCode {
  readonly code: string;
  readonly codeVerifier: string;
}

interface Flow {
  readonly options: PortalHttpOptions;
  readonly settings: PortalSettings;
  readonly endpoints: PortalEndpoints;
  readonly authorizeUrl: URL;
  readonly state: string;
  readonly jar: CookieJar;
  readonly signal: AbortSignal | undefined;
}

/**
 * Logs in through the portal's form as a browser does and returns the authorization code. The redirect URL is read, never
 * contacted. Throws V6_PORTAL_ACCOUNT, _CLIENT, _REDIRECT, _APPROVAL, _ANSWER, _UNREACHABLE, _TLS.
 */
export async function requestCode(
  options: PortalHttpOptions,
  settings: PortalSettings,
  endpoints: PortalEndpoints,
  signal: AbortSignal | undefined,
): Promise<AuthorizationCode> {
  // 32 bytes are 43 base64url characters, the least that RFC 7636 section 4.1 allows.
  const codeVerifier = randomBytes(32).toString('base64url');
  const state = randomBytes(24).toString('base64url');
  const authorizeUrl = authorizeUrlOf(endpoints, settings, codeVerifier, state);
  const jar = new CookieJar();
  const flow: Flow = { options, settings, endpoints, authorizeUrl, state, jar, signal };
  const first = await exchange(options, { method: 'GET', url: authorizeUrl, jar, signal });
  if (isRedirect(first)) return { code: codeFrom(flow, first), codeVerifier };
  await logIn(flow, first);
  const second = await exchange(options, { method: 'GET', url: authorizeUrl, jar, signal });
  if (isRedirect(second)) return { code: codeFrom(flow, second), codeVerifier };
  throw refusal(flow, second);
}

// All seven are mandatory for every client of eduVPN; PKCE is RFC 7636, method S256.
function authorizeUrlOf(
  endpoints: PortalEndpoints,
  settings: PortalSettings,
  codeVerifier: string,
  state: string,
): URL {
  const url = new URL(endpoints.authorization);
  const parameters = {
    response_type: 'code',
    client_id: settings.clientId,
    redirect_uri: settings.redirectUrl,
    scope: 'config',
    state,
    code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url;
}

async function logIn(flow: Flow, first: PortalAnswer): Promise<void> {
  const page = readPortalPage(first.text);
  if (first.status !== 200 || page.kind !== 'login') throw refusal(flow, first);
  const action = new URL(page.action, first.url);
  if (action.origin !== first.url.origin)
    throw notUnderstood(first, `a login form that posts to ${action.origin}`);
  const answer = await exchange(flow.options, {
    method: 'POST',
    url: action,
    // Portal pages want a Referer on the portal's origin on every POST.
    headers: { referer: `${flow.endpoints.root}/home` },
    form: {
      ...page.hidden,
      userName: flow.settings.username,
      userPass: flow.settings.password,
      // Portals to 3.4 read the first name, newer ones the second; both ignore the other.
      _user_pass_auth_redirect_to: flow.authorizeUrl.href,
      authRedirectTo: flow.authorizeUrl.href,
    },
    jar: flow.jar,
    signal: flow.signal,
  });
  // Only a redirect means logged in: a wrong password is answered 200, with the form again.
  if (isRedirect(answer)) return;
  if (answer.status === 200) throw wrongAccount(flow.settings, flow.endpoints.root);
  const hint =
    answer.status === 429
      ? 'Wait some minutes: the portal takes no logins after too many wrong passwords.'
      : 'Check portal_username and portal_userpass in vpn_server.';
  throw notUnderstood(answer, reasonOf(answer), [hint]);
}

function isRedirect(answer: PortalAnswer): boolean {
  return answer.status === 302 || answer.status === 303;
}

function codeFrom(flow: Flow, answer: PortalAnswer): string {
  const location = answer.headers.get('location') ?? '';
  const target = URL.canParse(location) ? new URL(location) : undefined;
  if (target === undefined || !isAt(target, new URL(flow.settings.redirectUrl))) {
    throw notUnderstood(
      answer,
      `a redirect to ${target === undefined ? 'nowhere' : placeOf(target)} instead of redirect_url`,
      [
        'Portals that log in through another service (SAML, OpenID Connect) need a local account for v6.',
      ],
    );
  }
  const { searchParams } = target;
  // RFC 6749 section 10.12 and RFC 9207: an answer to another request, or of another portal, is not ours.
  if (searchParams.get('state') !== flow.state)
    throw notUnderstood(answer, 'an answer with another state');
  const issuer = searchParams.get('iss');
  if (issuer !== null && issuer.replace(/\/$/, '') !== flow.endpoints.authorization.origin)
    throw notUnderstood(answer, `an answer that another portal issued (${issuer.slice(0, 100)})`);
  const error = searchParams.get('error');
  if (error === 'access_denied') throw approvalNeeded(flow.settings);
  const code = searchParams.get('code') ?? '';
  if (error !== null || code === '')
    throw notUnderstood(
      answer,
      `no code in its redirect${error === null ? '' : ` (${error.slice(0, 50)})`}`,
    );
  return code;
}

function isAt(target: URL, expected: URL): boolean {
  return (
    placeOf(target) === placeOf(expected) &&
    [...expected.searchParams].every(([name, value]) => target.searchParams.get(name) === value)
  );
}

/** Why authorize did not redirect. */
function refusal(flow: Flow, answer: PortalAnswer): V6Error {
  const { settings } = flow;
  const reason = reasonOf(answer);
  if (answer.status === 401) {
    return reason.includes('redirect_uri')
      ? wrongRedirect(settings, reason)
      : wrongClient(settings, reason);
  }
  if (answer.status === 403) {
    return accountDisabled(settings, reason);
  }
  if (answer.status !== 200) return notUnderstood(answer, reason);
  const page = readPortalPage(answer.text);
  if (page.kind === 'approval') return approvalNeeded(flow.settings);
  if (page.kind === 'login') {
    return notUnderstood(answer, 'the login page again after a login that it had accepted', [
      'The session cookie was not taken: the portal must be reached under the name and scheme that it knows itself by.',
    ]);
  }
  return notUnderstood(answer, 'a page without a login form', [
    'Portals that log in through another service (SAML, OpenID Connect) need a local account for v6.',
  ]);
}
