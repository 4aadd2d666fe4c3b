import type { IncomingMessage } from 'node:http';
import cors from '@fastify/cors';
import rateLimit from '@fastify/rate-limit';
import type { FastifyRequest, FastifyServerOptions } from 'fastify';
import type { TransportSettings } from '../../core/config/server-transport.ts';
import { V6Error } from '../../core/errors.ts';
import type { App } from './app-types.ts';
import type { Certificate } from './certificate.ts';
import { isSecure, networkList } from './connection.ts';

/** Whole headers, in ms: who sends them byte by byte holds a connection no longer. */
const HEADERS_TIMEOUT_MS = 20_000;
/** How often the limits are looked at, in ms. */
const CHECK_EVERY_MS = 5000;
const MAX_HEADER_BYTES = 16_384;
const MAX_HEADERS = 100;
/** Refused tokens per address and minute: guesses, and clients that do not understand a refusal. */
const REFUSALS_PER_MINUTE = 600;

/** What fastify makes its listener of. */
export function connectionOptions(
  transport: TransportSettings,
  certificate: Certificate | undefined,
): FastifyServerOptions {
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    // Node would refuse without a body; `requireHost` does it with one.
    requireHostHeader: false,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_EVERY_MS,
  };
  const listener =
    certificate === undefined
      ? { http: limits }
      : { https: { ...limits, ...certificate, minVersion: 'TLSv1.2' } };
  // Behind a proxy everybody would look like one caller, and one guesser could keep all users out.
  return { ...listener, trustProxy: [...transport.trustedProxies] };
}

/** What holds for all routes, in this order: headers, TLS, CORS. Before authentication. */
export async function guardConnections(app: App, transport: TransportSettings): Promise<void> {
  app.server.maxHeadersCount = MAX_HEADERS;
  addSecurityHeaders(app, transport);
  if (transport.requireTls) requireTls(app, transport);
  const { corsOrigins } = transport;
  // Who asks is told by the bearer token, never by a cookie: any page may ask, as upstream's default has it.
  await app.register(cors, {
    origin: corsOrigins === '*' ? '*' : [...corsOrigins],
    methods: ['GET', 'POST', 'PATCH', 'PUT', 'DELETE', 'OPTIONS'],
    allowedHeaders: ['authorization', 'content-type'],
    maxAge: 600,
    strictPreflight: false,
    optionsSuccessStatus: 200,
  });
}

/** Answers are one caller's own data, in JSON: nobody keeps them, and no browser takes them for something else. */
function addSecurityHeaders(app: App, transport: TransportSettings): void {
  const proxies = networkList(transport.trustedProxies);
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
    });
    if (isSecure(request.raw, proxies))
      reply.header('strict-transport-security', 'max-age=31536000; includeSubDomains');
  });
}

function requireTls(app: App, transport: TransportSettings): void {
  const isAllowed = tlsGuard(transport);
  app.addHook('onRequest', async (request) => {
    if (isAllowed(request.raw) || request.routeOptions.config.isOpen === true) return;
    throw new V6Error('V6_TLS_REQUIRED', 'This server is not talked to over plain http', {
      hints: ['Use https. A proxy in front of the server has to send X-Forwarded-Proto.'],
    });
  });
}

/** Whether a message came as the configuration wants it. */
function tlsGuard(transport: TransportSettings): (message: Incoming) => boolean {
  const proxies = networkList(transport.trustedProxies);
  return (message) => !transport.requireTls || isSecure(message, proxies);
}

type Incoming = Pick<IncomingMessage, 'headers' | 'socket'>;

/**
 * Whether a socket may be opened: over TLS where that is required, and by a page of an allowed origin, because browsers do not ask
 * before they open a WebSocket. Programs send no origin, or that of the server itself.
 */
export function handshakeGuard(transport: TransportSettings): (message: Incoming) => boolean {
  const isTls = tlsGuard(transport);
  const { corsOrigins } = transport;
  return (message) => {
    const { origin, host } = message.headers;
    if (!isTls(message)) return false;
    if (origin === undefined || corsOrigins === '*' || corsOrigins.includes(origin)) return true;
    return URL.canParse(origin) && new URL(origin).host === host;
  };
}

/** Per identity, or per address where nobody is logged in. After authentication, before the body is read. */
export async function limitRates(app: App, transport: TransportSettings): Promise<void> {
  await app.register(rateLimit, {
    max: transport.requestsPerMinute,
    timeWindow: 60_000,
    hook: 'preParsing',
    cache: 20_000,
    keyGenerator: callerKey,
    addHeaders: NO_HEADERS,
    addHeadersOnExceeding: NO_HEADERS,
    errorResponseBuilder: (_request, { ttl }) => tooMany(ttl / 1000),
  });
}

/** Counts tokens that were refused, per address. Throws V6_REQUEST_RATE when there were too many. */
export function refusalLimiter(app: App): (request: FastifyRequest) => Promise<void> {
  const check = app.createRateLimit({
    max: REFUSALS_PER_MINUTE,
    timeWindow: 60_000,
    keyGenerator: (request) => request.ip,
  });
  return async (request) => {
    const result = await check(request);
    if (!result.isAllowed && result.isExceeded) throw tooMany(result.ttlInSeconds);
  };
}

const NO_HEADERS = {
  'x-ratelimit-limit': false,
  'x-ratelimit-remaining': false,
  'x-ratelimit-reset': false,
  'retry-after': false,
} as const;

function callerKey({ identity, ip }: FastifyRequest): string {
  if (identity === undefined) return `address ${ip}`;
  return identity.kind === 'container'
    ? `run ${identity.runId}`
    : `${identity.kind} ${identity.id}`;
}

function tooMany(seconds: number): V6Error {
  return new V6Error('V6_REQUEST_RATE', 'Too many requests', {
    hints: ['Wait a little.'],
    details: { retryAfterSeconds: Math.max(1, Math.ceil(seconds)) },
  });
}
