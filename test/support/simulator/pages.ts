import {
  json,
  NO_STORE,
  type SimulatedAnswer,
  type SimulatedRequest,
  sessionIdOf,
} from './exchange.ts';
import { hex, type PortalState, type Session } from './state.ts';
import { approvalPage, errorPage, type Generation, homePage, loginPage } from './texts.ts';

export interface PageDeps {
  readonly state: PortalState;
  readonly generation: Generation;
  readonly origin: string;
  readonly users: ReadonlyMap<string, string>;
}

const PREFIX = '/vpn-user-portal';
const CHALLENGE = /^[A-Za-z0-9_-]{43}$/;

/** Login form, authorize and the other pages that need a browser session. */
export function answerPage(deps: PageDeps, request: SimulatedRequest): SimulatedAnswer {
  const path = request.url.pathname.slice(PREFIX.length);
  const browser = openSession(deps, request);
  const answer = answerInSession(deps, request, path, browser);
  const { cookies } = browser;
  if (cookies.length === 0) return answer;
  return {
    ...answer,
    headers: { ...answer.headers, 'Set-Cookie': cookies.map((id) => cookieLine(deps, id)) },
  };
}

interface Browser {
  session: Session;
  id: string;
  /** Session ids that the answer sets, the valid one last. */
  readonly cookies: string[];
}

function openSession(deps: PageDeps, request: SimulatedRequest): Browser {
  const known = sessionIdOf(request);
  const session = deps.state.sessions.get(known);
  const cookies: string[] = [];
  const browser: Browser = { session: session ?? newSession(), id: known, cookies };
  if (session === undefined) renameSession(deps, browser);
  // A 2.x portal changes the id once more on the first request after a login.
  else if (deps.generation === 'v2' && session.user !== undefined && session.requests === 0)
    renameSession(deps, browser);
  return browser;
}

const newSession = (): Session => ({ user: undefined, requests: 0 });

function renameSession({ state }: PageDeps, browser: Browser): void {
  state.sessions.delete(browser.id);
  browser.id = hex(32);
  state.sessions.set(browser.id, browser.session);
  browser.cookies.push(browser.id);
}

const cookieLine = ({ generation }: PageDeps, id: string): string =>
  `SID=${id}; HttpOnly; Path=${PREFIX}/; SameSite=${generation === 'v3' ? 'Strict' : 'Lax'}; Secure`;

function answerInSession(
  deps: PageDeps,
  request: SimulatedRequest,
  path: string,
  browser: Browser,
): SimulatedAnswer {
  const forged = request.method === 'POST' ? forgeryOf(deps, request) : undefined;
  if (forged !== undefined) return problem(deps, request, 400, forged);
  const isV3 = deps.generation === 'v3';
  const login = isV3 ? '/_user_pass_auth/verify' : '/_form/auth/verify';
  if (request.method === 'POST' && path === login) return logIn(deps, request, browser);
  const { session } = browser;
  if (session.user === undefined) return login200(deps, request.url.href);
  session.requests += 1;
  const { disabled } = deps.state;
  if (disabled === 'at once' || (disabled !== 'no' && session.requests > 1))
    return problem(deps, request, 403, 'your account has been disabled by an administrator');
  if (request.method === 'POST' && path === '/_logout') {
    deps.state.sessions.delete(browser.id);
    return redirect(request.headers.referer ?? `${deps.origin}${PREFIX}/home`, false);
  }
  if (path === (isV3 ? '/oauth/authorize' : '/_oauth/authorize')) return authorize(deps, request);
  if (path === '/') return redirect(`${deps.origin}${PREFIX}/home`, isV3);
  return page(deps, 200, homePage());
}

/** A 3.x portal wants a Referer on its origin on every POST; a 2.x portal only where a browser asks. */
function forgeryOf(deps: PageDeps, { headers }: SimulatedRequest): string | undefined {
  const { referer, origin } = headers;
  if (deps.generation === 'v3') {
    if (referer === undefined) return 'missing HTTP_REFERER';
    const isOurs = URL.canParse(referer) && new URL(referer).origin === deps.origin;
    return isOurs ? undefined : 'unexpected HTTP_REFERER';
  }
  if (!(headers.accept ?? '').includes('text/html')) return undefined;
  if (origin !== undefined)
    return origin === deps.origin ? undefined : 'CSRF protection failed: unexpected HTTP_ORIGIN';
  if (referer === undefined) return 'CSRF protection failed, no HTTP_ORIGIN or HTTP_REFERER';
  return referer.startsWith(deps.origin) ? undefined : 'CSRF protection failed';
}

function logIn(deps: PageDeps, request: SimulatedRequest, browser: Browser): SimulatedAnswer {
  const field = deps.generation === 'v3' ? '_user_pass_auth_redirect_to' : '_form_auth_redirect_to';
  for (const name of ['userName', 'userPass', field])
    if (!request.form.has(name))
      return problem(deps, request, 400, `missing post parameter "${name}"`);
  const [user = '', password = '', target = ''] = ['userName', 'userPass', field].map((name) =>
    request.form.get(name),
  );
  if (password === '') return problem(deps, request, 400, 'invalid value for "userPass"');
  const wrong = targetProblem(deps, target, field);
  if (wrong !== undefined) return problem(deps, request, 400, wrong);
  if (deps.users.get(user) !== password) return login200(deps, target, user);
  // A 2.x portal gives two session ids here; only the second is good.
  if (deps.generation === 'v2') renameSession(deps, browser);
  browser.session.user = user;
  browser.session.requests = 0;
  return redirect(target, false);
}

function targetProblem(deps: PageDeps, target: string, field: string): string | undefined {
  const url = URL.canParse(target) ? new URL(target) : undefined;
  if (deps.generation === 'v3')
    return url?.origin === deps.origin ? undefined : `invalid value for "${field}"`;
  if (url === undefined || !/^https?:\/\/[^/]+\//.test(target)) return 'invalid redirect_to URL';
  return url.hostname === new URL(deps.origin).hostname
    ? undefined
    : 'redirect_to does not match expected host';
}

function authorize(deps: PageDeps, request: SimulatedRequest): SimulatedAnswer {
  const query = request.url.searchParams;
  const refused = authorizeProblem(deps, query);
  if (refused !== undefined) return problem(deps, request, ...refused);
  const client = deps.state.client(query.get('client_id') ?? '');
  const target = new URL(query.get('redirect_uri') ?? '');
  const isApproved = request.form.get('approve');
  if (client?.requiresApproval && isApproved === undefined)
    return page(deps, 200, approvalPage(deps.generation));
  const answer = new URLSearchParams();
  if (isApproved === 'no') answer.set('error', 'access_denied');
  else {
    const grant = {
      clientId: client?.id ?? '',
      redirectUri: query.get('redirect_uri') ?? '',
      challenge: query.get('code_challenge') ?? '',
    };
    answer.set('code', deps.state.grant(grant));
  }
  answer.set('state', query.get('state') ?? '');
  if (deps.generation === 'v3') answer.set('iss', `${deps.origin}/`);
  const separator = target.search === '' ? '?' : '&';
  return redirect(`${query.get('redirect_uri')}${separator}${answer}`, deps.generation === 'v3');
}

function authorizeProblem(deps: PageDeps, query: URLSearchParams): [number, string] | undefined {
  const bad = (text: string): [number, string] => [400, `ERROR: ${text}`];
  const known = deps.state.client(query.get('client_id') ?? '');
  if (known === undefined)
    return [401, 'ERROR: invalid_client (client does not exist with this "client_id")'];
  if (!known.redirectUris.includes(query.get('redirect_uri') ?? ''))
    return [401, 'ERROR: invalid_client (client does not support this "redirect_uri")'];
  for (const name of ['response_type', 'scope', 'state', 'code_challenge_method', 'code_challenge'])
    if (!query.has(name)) return bad(`invalid_request (missing "${name}" parameter)`);
  if (query.get('response_type') !== 'code')
    return bad('unsupported_response_type (unsupported "response_type")');
  if (query.get('scope') !== 'config')
    return bad('invalid_scope (client does not support this "scope")');
  if (query.get('code_challenge_method') !== 'S256')
    return bad('invalid_request (invalid "code_challenge_method")');
  if (!CHALLENGE.test(query.get('code_challenge') ?? ''))
    return bad('invalid_request (invalid "code_challenge")');
  return undefined;
}

const htmlType = ({ generation }: PageDeps): string =>
  `text/html;charset=${generation === 'v3' ? 'utf-8' : 'UTF-8'}`;

const page = (deps: PageDeps, status: number, body: string): SimulatedAnswer => ({
  status,
  headers: { 'Content-Type': htmlType(deps), ...NO_STORE },
  body,
});

const login200 = (deps: PageDeps, redirectTo: string, refused?: string): SimulatedAnswer =>
  page(deps, 200, loginPage(deps.generation, { redirectTo, refused }));

/** A 2.x portal answers in JSON unless a browser asks. */
function problem(
  deps: PageDeps,
  { headers }: SimulatedRequest,
  status: number,
  reason: string,
): SimulatedAnswer {
  if (deps.generation === 'v2' && !(headers.accept ?? '').includes('text/html'))
    return json(status, { error: reason }, NO_STORE);
  return page(deps, status, errorPage(deps.generation, status, reason));
}

function redirect(location: string, isLowerCase: boolean): SimulatedAnswer {
  const charset = isLowerCase ? 'utf-8' : 'UTF-8';
  return {
    status: 302,
    headers: { 'Content-Type': `text/html; charset=${charset}`, ...NO_STORE, Location: location },
    body: '',
  };
}
