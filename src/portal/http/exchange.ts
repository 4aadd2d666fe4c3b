import type { FastifyReply, FastifyRequest } from 'fastify';
import type { BrowserSession } from '../browser-sessions.ts';

/** Path below which all of the portal but its discovery lies, as eduVPN's packages have it. */
export const PREFIX = '/vpn-user-portal';

/** Form fields of a request; a body of another type counts as no fields. The first of equal names wins. */
export function formOf(request: FastifyRequest): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  if (typeof request.body !== 'string') return fields;
  for (const [name, value] of new URLSearchParams(request.body)) {
    if (!fields.has(name)) fields.set(name, value);
  }
  return fields;
}

/** Parameters of the query; the first of equal names wins. */
export function queryOf(request: FastifyRequest): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  const [, query = ''] = request.url.split(/\?(.*)/s);
  for (const [name, value] of new URLSearchParams(query)) {
    if (!fields.has(name)) fields.set(name, value);
  }
  return fields;
}

/** JSON without a charset in its type, as eduVPN sends it. */
export function sendJson(reply: FastifyReply, status: number, body: unknown): FastifyReply {
  return reply
    .code(status)
    .header('content-type', 'application/json')
    .send(Buffer.from(JSON.stringify(body)));
}

const HTML_HEADERS = {
  'content-type': 'text/html;charset=utf-8',
  'cache-control': 'no-store, no-cache, must-revalidate',
  pragma: 'no-cache',
  'content-security-policy': "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
} as const;

export function sendPage(reply: FastifyReply, status: number, html: string): FastifyReply {
  return reply.code(status).headers(HTML_HEADERS).send(Buffer.from(html));
}

/** A redirect with an empty body. */
export function sendRedirect(reply: FastifyReply, location: string): FastifyReply {
  return reply.code(302).headers(HTML_HEADERS).header('location', location).send('');
}

/** Sets the cookie where the request brought none that is valid. `Secure` only under TLS: over http it would not come back. */
export function setSession(reply: FastifyReply, session: BrowserSession, url: string): void {
  if (!session.isNew) return;
  const secure = url.startsWith('https:') ? '; Secure' : '';
  reply.header(
    'set-cookie',
    `SID=${session.id}; HttpOnly; Path=${PREFIX}/; SameSite=Strict${secure}`,
  );
}

/** Name and password of a Basic header (RFC 7617), with the form encoding that OAuth asks for undone (RFC 6749, 2.3.1). */
export function basicOf(
  header: string | undefined,
): { readonly user: string; readonly password: string } | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/]+=*)$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) return undefined;
  return { user: unform(text.slice(0, colon)), password: unform(text.slice(colon + 1)) };
}

function unform(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}
