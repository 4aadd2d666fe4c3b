import type { Clock } from '../../core/clock.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import { isRecord, type Unknowns } from '../../core/protocol/json.ts';
import type { SessionToken } from '../../node/interfaces/session-token.ts';
import { type JsonAnswer, type JsonRequest, messageOf, requestJson } from './request.ts';
import { SharedWork } from './shared-work.ts';

export interface NodeSessionOptions {
  /** With protocol, without trailing slash. */
  readonly serverUrl: string;
  readonly port: number | null;
  /** `/api` or empty. */
  readonly apiPath: string;
  readonly apiKey: string;
  readonly clock: Clock;
}

export interface SessionRequest {
  readonly method: JsonRequest['method'];
  /** Below the api path, e.g. `/run/41`. */
  readonly path: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** Default 30 s. */
  readonly timeoutMs?: number;
}

interface Tokens {
  readonly access: string;
  readonly refresh: string;
  /** Path from the root of the server. */
  readonly refreshPath: string;
  /** When to renew, ms since the epoch by our own clock. */
  readonly renewAt: number;
  readonly endsAt: number;
}

const REQUEST_MS = 30_000;
/** Upstream's node renews ten minutes before the end; a short-lived token after three quarters of its life. */
const RENEW_BEFORE_MS = 600_000;

/** Logs in with the API key, renews tokens, and sends requests with them. */
export class NodeSession implements SessionToken {
  readonly #options: NodeSessionOptions;
  #tokens: Tokens | undefined;
  readonly #renewal = new SharedWork<Tokens>();

  constructor(options: NodeSessionOptions) {
    this.#options = options;
  }

  /** `http://host:port` */
  get origin(): string {
    const { serverUrl, port } = this.#options;
    return port === null ? serverUrl : `${serverUrl}:${port}`;
  }

  get baseUrl(): string {
    return `${this.origin}${this.#options.apiPath}`;
  }

  async current(signal?: AbortSignal): Promise<string> {
    return (await this.#ensure(signal)).access;
  }

  discard(): void {
    this.#tokens = undefined;
  }

  /** Logs in anew, and returns the claims' `sub`: the id of the node. Throws V6_AUTH_API_KEY when the key is refused. */
  async login(signal?: AbortSignal): Promise<number> {
    this.#tokens = undefined;
    const { access } = await this.#ensure(signal);
    const id = claimsOf(access).sub;
    if (typeof id === 'number') return id;
    throw new V6Error('V6_SERVER_ANSWER', 'The token of the node names no node', {
      hints: ['Check that server_url, port and api_path lead to a vantage6 4.x server.'],
    });
  }

  /**
   * One request with the token. A status of 400 or more throws V6_SERVER_REFUSED with `details.status`, and `details.serverCode`
   * where the server names one. When the server says that the token is no good the request was not carried out, so it is sent
   * once more with a new one; nothing else is repeated.
   */
  async send(request: SessionRequest): Promise<Unknowns> {
    const tokens = await this.#ensure(request.signal);
    let answer = await this.#exchange(request, tokens.access);
    if (this.#isTokenRefusal(answer, tokens, request.method)) {
      if (this.#tokens === tokens) this.#tokens = undefined;
      const renewed = await this.#ensure(request.signal);
      answer = await this.#exchange(request, renewed.access);
    }
    if (answer.status >= 400) throw refusal(request, answer);
    if (!isRecord(answer.body)) throw notAnObject(request, answer);
    return answer.body;
  }

  #exchange(request: SessionRequest, token: string): Promise<JsonAnswer> {
    return requestJson({
      method: request.method,
      url: `${this.baseUrl}${request.path}`,
      body: request.body,
      token,
      timeoutMs: request.timeoutMs ?? REQUEST_MS,
      signal: request.signal,
    });
  }

  /** 401 also means "no right" in a Python server, 422 also "invalid": only what is surely about the token counts for a write. */
  #isTokenRefusal(answer: JsonAnswer, tokens: Tokens, method: string): boolean {
    const code = isRecord(answer.body) ? answer.body.code : undefined;
    if (code === 'V6_AUTH_TOKEN_EXPIRED' || code === 'V6_AUTH_TOKEN_INVALID') return true;
    if (answer.status !== 401 && answer.status !== 422) return false;
    return method === 'GET' || this.#options.clock.now().getTime() >= tokens.endsAt;
  }

  async #ensure(signal: AbortSignal | undefined): Promise<Tokens> {
    const now = this.#options.clock.now().getTime();
    const tokens = this.#tokens;
    if (tokens !== undefined && now < tokens.renewAt) return tokens;
    return this.#renewal.join((untilUnwanted) => this.#obtain(tokens, untilUnwanted), signal);
  }

  async #obtain(old: Tokens | undefined, signal: AbortSignal): Promise<Tokens> {
    if (old !== undefined && this.#options.clock.now().getTime() < old.endsAt) {
      const renewed = await this.#renew(old, signal);
      if (renewed !== undefined) return this.#keep(renewed, old.refreshPath);
    }
    const answer = await requestJson({
      method: 'POST',
      url: `${this.baseUrl}/token/node`,
      body: { api_key: this.#options.apiKey },
      timeoutMs: REQUEST_MS,
      signal,
    });
    if (answer.status === 401 || answer.status === 400) throw keyRefused(this.origin, answer);
    if (answer.status >= 400) throw refusal({ method: 'POST', path: '/token/node' }, answer);
    return this.#keep(answer.body, undefined);
  }

  /** Undefined when the server refuses the renewal: then a login is due. */
  async #renew(old: Tokens, signal: AbortSignal): Promise<unknown> {
    const answer = await requestJson({
      method: 'POST',
      url: `${this.origin}${old.refreshPath}`,
      token: old.refresh,
      timeoutMs: REQUEST_MS,
      signal,
    });
    return answer.status === 200 ? answer.body : undefined;
  }

  #keep(body: unknown, refreshPath: string | undefined): Tokens {
    const fields = isRecord(body) ? body : {};
    const { access_token: access, refresh_token: refresh } = fields;
    const path = fields.refresh_url ?? refreshPath ?? `${this.#options.apiPath}/token/refresh`;
    if (typeof access !== 'string' || typeof refresh !== 'string' || typeof path !== 'string') {
      throw new V6Error('V6_SERVER_ANSWER', `${this.origin} answered a login without tokens`, {
        hints: ['Check that server_url, port and api_path lead to a vantage6 4.x server.'],
      });
    }
    const { iat, exp } = claimsOf(access);
    // By our own clock: the server's may differ, its difference of two times does not.
    const lifeMs =
      typeof exp === 'number' && typeof iat === 'number' ? (exp - iat) * 1000 : 6 * 3_600_000;
    const now = this.#options.clock.now().getTime();
    this.#tokens = {
      access,
      refresh,
      refreshPath: path.startsWith('/') ? path : `/${path}`,
      renewAt: now + Math.max(lifeMs - RENEW_BEFORE_MS, lifeMs * 0.75),
      endsAt: now + lifeMs,
    };
    return this.#tokens;
  }
}

/** Claims of a JWT, read without verifying: it is the server's business to verify, ours to read who we are. */
function claimsOf(token: string): Unknowns {
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'),
    );
    return isRecord(claims) ? claims : {};
  } catch {
    return {};
  }
}

function keyRefused(origin: string, answer: JsonAnswer): V6Error {
  return new V6Error(
    'V6_AUTH_API_KEY',
    `The server at ${origin} refused the API key of this node: ${messageOf(answer.body)}`,
    {
      hints: [
        'Check api_key in the configuration of the node.',
        'Ask the administrator of the server for a new key: it is shown once, when it is made.',
      ],
      details: { status: answer.status },
    },
  );
}

function refusal(request: Pick<SessionRequest, 'method' | 'path'>, answer: JsonAnswer): V6Error {
  const [path = ''] = request.path.split('?');
  const body = isRecord(answer.body) ? answer.body : {};
  return new V6Error(
    'V6_SERVER_REFUSED',
    `The server refused ${request.method} ${path} (${answer.status}): ${messageOf(body)}`,
    {
      hints: Array.isArray(body.hints) ? body.hints.filter((hint) => typeof hint === 'string') : [],
      details: {
        status: answer.status,
        ...(typeof body.code === 'string' ? { serverCode: body.code } : {}),
        ...(isRecord(body.errors) ? { errors: body.errors } : {}),
      },
    },
  );
}

function notAnObject(request: SessionRequest, answer: JsonAnswer): V6Error {
  return new V6Error(
    'V6_SERVER_ANSWER',
    `The server answered ${request.method} ${request.path.split('?')[0]} without a JSON object`,
    {
      hints: ['Check that server_url, port and api_path lead to a vantage6 4.x server.'],
      details: { status: answer.status },
    },
  );
}

/** True for a refusal that names this field of the body (upstream's schemas refuse unknown fields). */
export function isFieldRefused(error: unknown, field: string): boolean {
  if (!isV6Error(error, 'V6_SERVER_REFUSED') || error.details.status !== 400) return false;
  return isRecord(error.details.errors) && field in error.details.errors;
}
