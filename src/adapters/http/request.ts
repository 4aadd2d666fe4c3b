import { V6Error } from '../../core/errors.ts';

export interface JsonRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly body?: unknown;
  /** Sent as a bearer token. */
  readonly token?: string | undefined;
  /** Limit for the whole exchange, in ms. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface JsonAnswer {
  readonly status: number;
  readonly body: unknown;
}

/**
 * One HTTP exchange with a coordination server, ours or Python. Never repeats anything. Any status is an answer; only what
 * is no answer throws: V6_SERVER_UNREACHABLE (no connection, time-out), V6_SERVER_ANSWER (not JSON). An abort by the
 * caller's signal rejects with its reason.
 */
export async function requestJson(request: JsonRequest): Promise<JsonAnswer> {
  const limit = AbortSignal.timeout(request.timeoutMs);
  let response: Response;
  let text: string;
  try {
    response = await fetch(request.url, {
      method: request.method,
      redirect: 'error',
      headers: {
        accept: 'application/json',
        ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(request.token === undefined ? {} : { authorization: `Bearer ${request.token}` }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      signal: request.signal === undefined ? limit : AbortSignal.any([limit, request.signal]),
    });
    text = await response.text();
  } catch (error) {
    if (request.signal?.aborted) throw request.signal.reason;
    const { origin } = new URL(request.url);
    throw new V6Error(
      'V6_SERVER_UNREACHABLE',
      `No answer from the coordination server at ${origin}: ${reasonOf(error, request.timeoutMs)}`,
      {
        cause: error,
        hints: [
          `Check that the server runs and that this machine reaches it: curl ${origin}/api/version`,
          'Check server_url, port and api_path.',
        ],
        details: { url: origin },
      },
    );
  }
  try {
    return { status: response.status, body: text === '' ? null : (JSON.parse(text) as unknown) };
  } catch (error) {
    const { origin, pathname } = new URL(request.url);
    throw new V6Error(
      'V6_SERVER_ANSWER',
      `${origin}${pathname} answered ${response.status} with something that is not JSON`,
      {
        cause: error,
        hints: [
          'Check that server_url, port and api_path lead to a vantage6 server and not to a web page.',
        ],
        details: { status: response.status },
      },
    );
  }
}

/** `msg` of an error body, as far as there is one. */
export function messageOf(body: unknown): string {
  const { msg, message } = (body ?? {}) as { msg?: unknown; message?: unknown };
  if (typeof msg === 'string') return msg;
  return typeof message === 'string' ? message : 'no reason given';
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (error instanceof Error && error.name === 'TimeoutError')
    return `no answer within ${timeoutMs} ms`;
  const cause =
    error instanceof Error
      ? (error.cause as { code?: string; message?: string } | undefined)
      : undefined;
  return cause?.code ?? cause?.message ?? (error instanceof Error ? error.message : String(error));
}
