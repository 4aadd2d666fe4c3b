import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { BrowserSessions } from '../browser-sessions.ts';
import type { LoginLimiter } from '../login-limiter.ts';
import { formOf, PREFIX, sendPage, sendRedirect, setSession } from './exchange.ts';
import { renderErrorPage, renderHomePage, renderLoginPage } from './pages.ts';

export interface LoginDeps {
  /** Origin of the portal. */
  readonly url: string;
  readonly sessions: BrowserSessions;
  readonly limiter: LoginLimiter;
  /** Is this the account's password? */
  readonly verify: (user: string, password: string) => Promise<boolean>;
}

/** Both names of the field that says where to go after the login: of portals up to 3.4.1, and of newer ones. */
const REDIRECT_FIELDS = ['_user_pass_auth_redirect_to', 'authRedirectTo'] as const;

/** The login form, the page behind it, and the log-out. */
export function addLoginRoutes(app: FastifyInstance, deps: LoginDeps): void {
  app.post(`${PREFIX}/_user_pass_auth/verify`, (request, reply) => logIn(request, reply, deps));
  app.post(`${PREFIX}/_logout`, (request, reply) => {
    const wrong = refererProblem(request, deps.url);
    if (wrong !== undefined) return sendPage(reply, 400, renderErrorPage(400, wrong));
    deps.sessions.logOut(deps.sessions.open(request.headers.cookie));
    return sendRedirect(reply, request.headers.referer ?? `${deps.url}${PREFIX}/home`);
  });
  for (const path of [`${PREFIX}/`, `${PREFIX}/home`]) {
    app.get(path, (request, reply) => {
      const session = deps.sessions.open(request.headers.cookie);
      if (session.user === undefined) return sendLogin(request, reply, deps);
      return sendPage(reply, 200, renderHomePage(session.user));
    });
  }
}

/** The login page in place of a page that needs a login: status 200, as eduVPN has it. */
export function sendLogin(
  request: FastifyRequest,
  reply: FastifyReply,
  deps: Pick<LoginDeps, 'url' | 'sessions'>,
): FastifyReply {
  const session = deps.sessions.open(request.headers.cookie);
  setSession(reply, session, deps.url);
  const redirectTo =
    request.method === 'GET' ? `${deps.url}${request.url}` : `${deps.url}${PREFIX}/home`;
  return sendPage(reply, 200, renderLoginPage({ redirectTo }));
}

async function logIn(
  request: FastifyRequest,
  reply: FastifyReply,
  deps: LoginDeps,
): Promise<FastifyReply> {
  const session = deps.sessions.open(request.headers.cookie);
  const form = readForm(request, deps.url);
  if ('problem' in form) {
    setSession(reply, session, deps.url);
    return sendPage(reply, 400, renderErrorPage(400, form.problem));
  }
  const wait = deps.limiter.waitSeconds(request.ip);
  if (wait > 0) {
    reply.header('retry-after', String(wait));
    return sendPage(reply, 429, renderErrorPage(429, 'too many wrong passwords; try again later'));
  }
  deps.limiter.addTry(request.ip);
  if (!(await deps.verify(form.user, form.password))) {
    setSession(reply, session, deps.url);
    const { redirectTo, user: failedUser } = form;
    return sendPage(reply, 200, renderLoginPage({ redirectTo, failedUser }));
  }
  deps.limiter.clear(request.ip);
  setSession(reply, deps.sessions.logIn(session, form.user), deps.url);
  return sendRedirect(reply, form.redirectTo);
}

type LoginForm =
  | { readonly user: string; readonly password: string; readonly redirectTo: string }
  | { readonly problem: string };

function readForm(request: FastifyRequest, url: string): LoginForm {
  const wrong = refererProblem(request, url);
  if (wrong !== undefined) return { problem: wrong };
  const form = formOf(request);
  for (const name of ['userName', 'userPass']) {
    const value = form.get(name);
    if (value === undefined) return { problem: `missing post parameter "${name}"` };
    // U+FFFD: what the decoder leaves where the bytes were not UTF-8.
    if (value === '' || value.length > 255 || value.includes('\ufffd')) {
      return { problem: `invalid value for "${name}"` };
    }
  }
  const field = REDIRECT_FIELDS.find((name) => form.has(name));
  if (field === undefined) return { problem: `missing post parameter "${REDIRECT_FIELDS[0]}"` };
  const redirectTo = form.get(field) ?? '';
  if (!isSameOrigin(redirectTo, url)) return { problem: `invalid value for "${field}"` };
  return { user: form.get('userName') ?? '', password: form.get('userPass') ?? '', redirectTo };
}

/** What keeps other sites from posting here in the name of a visitor. */
function refererProblem(request: FastifyRequest, url: string): string | undefined {
  const { referer } = request.headers;
  if (referer === undefined) return 'missing HTTP_REFERER';
  return isSameOrigin(referer, url) ? undefined : 'unexpected HTTP_REFERER';
}

function isSameOrigin(text: string, url: string): boolean {
  return URL.canParse(text) && new URL(text).origin === new URL(url).origin;
}
