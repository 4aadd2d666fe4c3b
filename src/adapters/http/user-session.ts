import { V6Error } from '../../core/errors.ts';
import { isRecord, type Unknowns } from '../../core/protocol/json.ts';
import type {
  AskCode,
  Enrolment,
  Login,
  LoginInput,
} from '../../diagnose/interfaces/login-store.ts';
import { type JsonAnswer, type JsonRequest, messageOf, requestJson } from './request.ts';
import { SharedWork } from './shared-work.ts';

const TIMEOUT_MS = 20_000;
/** An access token with less than this left is renewed before it is used. */
const RENEW_BEFORE_MS = 30_000;

/** The REST base of what a user typed: without a path, upstream's default `/api` is meant. Throws V6_USAGE. */
export function normalizeServerUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '') {
    throw new V6Error('V6_USAGE', `${JSON.stringify(text)} is not the URL of a server`, {
      hints: [
        'Give it as http://HOST:PORT or https://HOST, with the api path when it is not /api.',
      ],
    });
  }
  const path = url.pathname.replace(/\/+$/, '');
  return `${url.origin}${path === '' ? '/api' : path}`;
}

/**
 * Exchanges name and password for tokens, and a code where the server asks for a second factor: the one given, or the one that
 * `askCode` gives. Throws V6_AUTH_FAILED, V6_SERVER_UNREACHABLE, V6_SERVER_ANSWER, V6_SERVER_REFUSED.
 */
export async function logIn(
  input: LoginInput,
  signal?: AbortSignal,
  askCode?: AskCode,
): Promise<Login> {
  const serverUrl = normalizeServerUrl(input.serverUrl);
  const { username, password, code } = input;
  const answer = await requestJson({
    method: 'POST',
    url: `${serverUrl}/token/user`,
    body: { username, password, ...(code === undefined ? {} : { mfa_code: code }) },
    timeoutMs: TIMEOUT_MS,
    signal,
  });
  if (answer.status === 401 || answer.status === 400) {
    throw new V6Error(
      'V6_AUTH_FAILED',
      `${serverUrl} refused user ${JSON.stringify(username)}: ${messageOf(answer.body)}`,
      {
        hints: [
          'Check the name and the password; after several wrong passwords an account is locked for a while.',
        ],
        details: { server: serverUrl, username },
      },
    );
  }
  if (answer.status === 404) {
    throw new V6Error('V6_SERVER_ANSWER', `there is no vantage6 server at ${serverUrl}`, {
      hints: ['Give the api path in the URL when it is not /api: --server http://HOST:PORT/PATH'],
      details: { server: serverUrl, status: 404 },
    });
  }
  if (answer.status !== 200) throw refusal(answer, 'POST /token/user');
  if (isRecord(answer.body) && answer.body.access_token === undefined) {
    if (askCode === undefined || code !== undefined) throw noSecondFactor(username);
    return logIn({ ...input, code: await askCode(enrolmentOf(answer.body)) }, signal);
  }
  return { serverUrl, username, ...readTokens(answer.body) };
}

/** A user who has no second factor yet is shown a new secret, and enrols it with its first code. */
function enrolmentOf({ qr_uri: uri, otp_secret: secret }: Unknowns): Enrolment | undefined {
  return typeof uri === 'string' && typeof secret === 'string' ? { uri, secret } : undefined;
}

function noSecondFactor(username: string): V6Error {
  return new V6Error(
    'V6_AUTH_FAILED',
    `user ${JSON.stringify(username)} needs the code of a second factor`,
    { hints: ['Give it: v6 login --mfa-code CODE'], details: { username } },
  );
}

type Tokens = Pick<Login, 'accessToken' | 'refreshToken' | 'refreshPath'>;

function readTokens(body: unknown, fallbackPath?: string): Tokens {
  const { access_token, refresh_token, refresh_url } = isRecord(body) ? body : {};
  const refreshPath = typeof refresh_url === 'string' ? refresh_url : fallbackPath;
  if (
    typeof access_token !== 'string' ||
    typeof refresh_token !== 'string' ||
    refreshPath?.startsWith('/') !== true
  ) {
    throw new V6Error('V6_SERVER_ANSWER', 'the server answered a login without tokens', {
      hints: ['Check that the URL leads to a vantage6 4.x server.'],
    });
  }
  return { accessToken: access_token, refreshToken: refresh_token, refreshPath };
}

/** Where the tokens of a login are kept. */
export interface TokenFile {
  readonly save?: (tokens: Tokens) => Promise<void>;
  readonly read?: () => Promise<Tokens | undefined>;
}

/** Requests in the name of one login; renews its tokens when they have run out. */
export class UserSession {
  #login: Login;
  readonly #file: TokenFile;
  readonly #renewal = new SharedWork<void>();

  /** `file` is told of renewed tokens, and asked for those that another process has renewed meanwhile. */
  constructor(login: Login, file: TokenFile = {}) {
    this.#login = login;
    this.#file = file;
  }

  /** Id of the user, as the token says. Throws V6_SERVER_ANSWER. */
  get userId(): number {
    const { sub } = claimsOf(this.#login.accessToken);
    if (typeof sub === 'number') return sub;
    throw strangeAnswer('/token/user');
  }

  /** One exchange; the body of a 2xx answer. Throws as `UserClient` says. */
  async request(
    method: JsonRequest['method'],
    path: string,
    options: { readonly body?: unknown; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<unknown> {
    const token = this.#login.accessToken;
    if (expiresAtMs(token) - Date.now() < RENEW_BEFORE_MS) await this.#renew(options.signal);
    let answer = await this.#send(method, path, options);
    // 401 is an expired token or a missing right: nothing was done, so the same request may go out once more.
    if (answer.status === 401 && token === this.#login.accessToken) {
      await this.#renew(options.signal);
      answer = await this.#send(method, path, options);
    }
    if (answer.status < 200 || answer.status > 299)
      throw refusal(answer, `${method} ${path.replace(/\?.*/, '')}`);
    return answer.body;
  }

  /** All pages of a list, each item parsed. */
  async list<T>(
    path: string,
    parse: (item: Unknowns) => T,
    signal?: AbortSignal,
  ): Promise<readonly T[]> {
    const items: T[] = [];
    const separator = path.includes('?') ? '&' : '?';
    for (let page = 1; ; page += 1) {
      const body = await this.request('GET', `${path}${separator}per_page=50&page=${page}`, {
        signal,
      });
      if (!isRecord(body) || !Array.isArray(body.data)) throw strangeAnswer(path);
      for (const item of body.data) {
        if (!isRecord(item)) throw strangeAnswer(path);
        items.push(parse(item));
      }
      const next = isRecord(body.links) ? body.links.next : undefined;
      if (typeof next !== 'string' || body.data.length === 0) return items;
    }
  }

  #send(
    method: JsonRequest['method'],
    path: string,
    { body, signal }: { readonly body?: unknown; readonly signal?: AbortSignal | undefined },
  ): Promise<JsonAnswer> {
    const { serverUrl, accessToken } = this.#login;
    return requestJson({
      method,
      url: `${serverUrl}${path}`,
      ...(body === undefined ? {} : { body }),
      token: accessToken,
      timeoutMs: TIMEOUT_MS,
      signal,
    });
  }

  /** One renewal at a time: requests that meet an old token together share it. */
  #renew(signal: AbortSignal | undefined): Promise<void> {
    return this.#renewal.join((untilUnwanted) => this.#renewOnce(untilUnwanted), signal);
  }

  async #renewOnce(signal: AbortSignal): Promise<void> {
    // A refresh token is good once: one that another process of this login has used would end the session for both.
    const stored = await this.#file.read?.();
    if (stored !== undefined && stored.refreshToken !== this.#login.refreshToken) {
      this.#login = { ...this.#login, ...stored };
      if (expiresAtMs(stored.accessToken) - Date.now() > RENEW_BEFORE_MS) return;
    }
    const { serverUrl, refreshPath, refreshToken, username } = this.#login;
    const answer = await requestJson({
      method: 'POST',
      url: `${new URL(serverUrl).origin}${refreshPath}`,
      token: refreshToken,
      timeoutMs: TIMEOUT_MS,
      signal,
    });
    if (answer.status === 401 || answer.status === 422) {
      throw new V6Error(
        'V6_AUTH_TOKEN_EXPIRED',
        `the login of ${JSON.stringify(username)} at ${serverUrl} has run out`,
        {
          hints: [`Log in again: npx v6 login --server ${serverUrl} --username ${username}`],
          details: { server: serverUrl, username },
        },
      );
    }
    if (answer.status !== 200) throw refusal(answer, 'POST /token/refresh');
    const tokens = readTokens(answer.body, refreshPath);
    this.#login = { ...this.#login, ...tokens };
    await this.#file.save?.(tokens);
  }
}

/** `exp` of a JWT in ms; Infinity when it names none or cannot be read: the server will say. */
function expiresAtMs(token: string): number {
  const { exp } = claimsOf(token);
  return typeof exp === 'number' ? exp * 1000 : Infinity;
}

/** Empty for a token that cannot be read. */
function claimsOf(token: string): Unknowns {
  try {
    const payload: unknown = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'),
    );
    return isRecord(payload) ? payload : {};
  } catch {
    return {};
  }
}

const CODE_OF_STATUS = {
  400: 'V6_REQUEST_INVALID',
  401: 'V6_AUTH_FORBIDDEN',
  403: 'V6_AUTH_FORBIDDEN',
  404: 'V6_REQUEST_NOT_FOUND',
  422: 'V6_AUTH_TOKEN_INVALID',
  429: 'V6_REQUEST_RATE',
} as const;

const HINT_OF_STATUS: Readonly<Record<number, string>> = {
  401: 'The account lacks the right for this; `npx v6 login` with another one.',
  403: 'The account lacks the right for this; `npx v6 login` with another one.',
  422: 'The server no longer accepts this login: `npx v6 login`.',
  429: 'Wait a little and try again.',
};

function refusal({ status, body }: JsonAnswer, what: string): V6Error {
  const code = CODE_OF_STATUS[status as keyof typeof CODE_OF_STATUS] ?? 'V6_SERVER_REFUSED';
  const { errors, code: serverCode } = isRecord(body) ? body : {};
  const hint = HINT_OF_STATUS[status];
  return new V6Error(code, `${what} was answered ${status}: ${messageOf(body)}`, {
    hints: hint === undefined ? [] : [hint],
    details: {
      status,
      ...(errors === undefined ? {} : { errors }),
      ...(typeof serverCode === 'string' ? { serverCode } : {}),
    },
  });
}

/** An answer of another shape than vantage6 4.x gives. */
export function strangeAnswer(path: string): V6Error {
  return new V6Error(
    'V6_SERVER_ANSWER',
    `${path.replace(/\?.*/, '')} was answered in a form that vantage6 4.x does not have`,
    { hints: ['Check that the URL leads to a vantage6 4.x server.'] },
  );
}
