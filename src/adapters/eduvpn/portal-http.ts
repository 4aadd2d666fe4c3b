import { CookieJar } from 'tough-cookie';
import { V6Error } from '../../core/errors.ts';

export interface PortalHttpOptions {
  /** Limit of one exchange, headers and body, in ms. */
  readonly timeoutMs: number;
  readonly fetch: typeof globalThis.fetch;
}

export interface PortalRequest {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as application/x-www-form-urlencoded, the only form that the portal reads (API v3). */
  readonly form?: Readonly<Record<string, string>>;
  /** Keeps the browser session; without it no cookie goes out or is kept. */
  readonly jar?: CookieJar;
  readonly signal?: AbortSignal | undefined;
}

export interface PortalAnswer {
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  /** Without parameters, in lower case; empty when the answer named none. */
  readonly contentType: string;
  readonly text: string;
}

// Far above any client file or page of a portal; a body without end would fill the memory.
const BODY_LIMIT_BYTES = 1024 * 1024;

/**
 * One exchange with a portal; redirects are answers like any other and never followed. Throws V6_PORTAL_UNREACHABLE (no
 * connection, time-out, a proxy that answers for a portal that is down), V6_PORTAL_TLS, V6_PORTAL_ANSWER (body too long).
 * An abort by the caller's signal rejects with its reason.
 */
export async function exchange(
  options: PortalHttpOptions,
  request: PortalRequest,
): Promise<PortalAnswer> {
  request.signal?.throwIfAborted();
  const limit = AbortSignal.timeout(options.timeoutMs);
  const signal = request.signal === undefined ? limit : AbortSignal.any([limit, request.signal]);
  try {
    const response = await options.fetch(request.url, {
      method: request.method,
      redirect: 'manual',
      headers: await headersOf(request),
      signal,
      ...(request.form === undefined ? {} : { body: new URLSearchParams(request.form).toString() }),
    });
    const text = await readBody(response, request.url);
    await keepCookies(response, request);
    const { status, headers } = response;
    if (status >= 502 && status <= 504) throw portalDown(request.url, status);
    const contentType = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
    return { url: request.url, status, headers, contentType, text };
  } catch (error) {
    if (request.signal?.aborted) throw request.signal.reason;
    throw error instanceof V6Error ? error : connectionError(error, request.url, options.timeoutMs);
  }
}

async function headersOf(request: PortalRequest): Promise<Record<string, string>> {
  const cookie = (await request.jar?.getCookieString(request.url.href)) ?? '';
  return {
    'user-agent': 'v6',
    ...(request.form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
    ...(cookie === '' ? {} : { cookie }),
    ...request.headers,
  };
}

async function keepCookies(response: Response, request: PortalRequest): Promise<void> {
  // A cookie that the jar refuses is a cookie that a browser would not send either.
  for (const line of response.headers.getSetCookie())
    await request.jar?.setCookie(line, request.url.href, { ignoreError: true });
}

async function readBody(response: Response, url: URL): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return '';
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const chunk = part.value as Uint8Array;
    sizeBytes += chunk.byteLength;
    if (sizeBytes > BODY_LIMIT_BYTES) {
      await reader.cancel();
      throw new V6Error(
        'V6_PORTAL_ANSWER',
        `${placeOf(url)} sent more than ${BODY_LIMIT_BYTES} bytes`,
        { hints: ['Check that url in vpn_server leads to an eduVPN portal.'] },
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Host and path without the query, which may hold a code. */
export function placeOf(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function portalDown(url: URL, status: number): V6Error {
  return new V6Error(
    'V6_PORTAL_UNREACHABLE',
    `${placeOf(url)} answered ${status}: the portal behind it is down`,
    {
      hints: [`Start the portal behind ${url.origin}, then try again.`],
      details: { url: placeOf(url), status },
    },
  );
}

function connectionError(error: unknown, url: URL, timeoutMs: number): V6Error {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const { code, message } = cause as { code?: unknown; message?: unknown };
  const known = typeof code === 'string' ? code : undefined;
  const details = { url: url.origin, ...(known === undefined ? {} : { reason: known }) };
  if (known !== undefined && isTlsCode(known)) {
    return new V6Error(
      'V6_PORTAL_TLS',
      `The certificate of ${url.origin} was not accepted: ${known}`,
      {
        cause: error,
        hints: [
          'If the portal has a certificate of a private CA: put the CA into a file and start with NODE_EXTRA_CA_CERTS=FILE.',
          'Check that url in vpn_server has the host name that is in the certificate, and that the certificate has not expired.',
        ],
        details,
      },
    );
  }
  const isTimeout = error instanceof Error && error.name === 'TimeoutError';
  const reason = isTimeout
    ? `no answer within ${timeoutMs} ms`
    : (known ?? String(message ?? error));
  return new V6Error(
    'V6_PORTAL_UNREACHABLE',
    `No answer from the VPN portal at ${url.origin}: ${reason}`,
    {
      cause: error,
      hints: [
        `Check url in vpn_server, and that this machine reaches it: curl ${url.origin}/.well-known/vpn-user-portal`,
      ],
      details,
    },
  );
}

// Codes of X509_V_ERR_* as Node names them (documentation of node:tls, "X509 certificate error codes"), and OpenSSL's own.
function isTlsCode(code: string): boolean {
  return (
    code.startsWith('ERR_TLS_') ||
    code.startsWith('ERR_SSL_') ||
    code === 'EPROTO' ||
    /^(CERT_|CRL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH)/.test(
      code,
    )
  );
}
