import { jsonOf, notUnderstood } from './portal-answer.ts';
import { exchange, type PortalAnswer, type PortalHttpOptions } from './portal-http.ts';

/** Where a portal's parts are, from its discovery document. */
export interface PortalEndpoints {
  /** Of the two APIs that we speak, the newest that the portal offers. */
  readonly version: 'v2' | 'v3';
  /** `…/api/v3`, `…/api.php/v3` or, with API v2, `…/api.php`; without trailing slash. */
  readonly api: string;
  readonly authorization: URL;
  readonly token: URL;
  /** Of the portal's pages, without trailing slash. */
  readonly root: string;
  /** Configurations that an account may hold at once, as far as is known without being told; 0: any number. */
  readonly maxConfigurations: number;
}

// Documents for developers of eduVPN clients, "API version 3" and "API version 2", section "Server Endpoints".
const API_V3 = 'http://eduvpn.org/api#3';
const API_V2 = 'http://eduvpn.org/api#2';
const REDIRECT_LIMIT = 3;
/** eduVPN's `Api.maxActiveConfigurations` where it is not set (all 3.x); it is in no answer. API v2 has no such limit. */
const DEFAULT_CONFIGURATIONS = 3;

/**
 * Fetches the discovery document, which lies at the root of the host whatever path `url` has. Redirects are followed to https
 * or within the same origin only. Throws V6_PORTAL_UNREACHABLE, V6_PORTAL_TLS, V6_PORTAL_ANSWER.
 */
export async function discover(
  options: PortalHttpOptions,
  url: string,
  signal: AbortSignal | undefined,
): Promise<PortalEndpoints> {
  let at = new URL('/.well-known/vpn-user-portal', url);
  for (let hops = 0; ; hops += 1) {
    const answer = await exchange(options, {
      method: 'GET',
      url: at,
      headers: { accept: 'application/json' },
      signal,
    });
    if (answer.status < 300 || answer.status >= 400) return parseDiscovery(answer);
    const next = new URL(answer.headers.get('location') ?? '', at);
    const isAllowed = next.protocol === 'https:' || next.origin === at.origin;
    if (hops >= REDIRECT_LIMIT || !isAllowed)
      throw notUnderstood(answer, `a redirect to ${next.origin}, which is not followed`);
    at = next;
  }
}

/** The endpoints of the newest API, chosen by key and never by the portal's version: a 2.4 portal offers both. */
export function parseDiscovery(answer: PortalAnswer): PortalEndpoints {
  if (answer.status === 404) {
    throw notUnderstood(answer, 'no discovery document', [
      'url in vpn_server is the host alone, for example https://vpn.example.org.',
    ]);
  }
  if (answer.status !== 200) throw notUnderstood(answer, 'no discovery document');
  const body = jsonOf(answer);
  const apis = (body.api ?? {}) as Record<string, unknown>;
  const version = isEntry(apis[API_V3]) ? 'v3' : 'v2';
  const entry = version === 'v3' ? apis[API_V3] : apis[API_V2];
  if (!isEntry(entry)) throw notUnderstood(answer, 'a discovery document without an API');
  const key = version === 'v3' ? 'api_endpoint' : 'api_base_uri';
  const api = endpointOf(answer, entry, key).href.replace(/\/+$/, '');
  const authorization = endpointOf(answer, entry, 'authorization_endpoint');
  const token = endpointOf(answer, entry, 'token_endpoint');
  // Portal root: before `/api/v3` on 3.x, `/api.php/v3` or `/api.php` on 2.x; the login form lies below it and is in no document.
  const root = api.replace(/\/api(\/v3|\.php(\/v3)?)$/, '');
  if (new URL(root).origin !== authorization.origin)
    throw notUnderstood(answer, `endpoints on two hosts, ${root} and ${authorization.origin}`);
  const maxConfigurations = version === 'v2' ? 0 : limitIn(body.v6);
  return { version, api, authorization, token, root, maxConfigurations };
}

/** Our own portal says it in a key of ours. */
function limitIn(ours: unknown): number {
  const limit = isEntry(ours) ? ours.max_active_configurations : undefined;
  return typeof limit === 'number' && Number.isInteger(limit) && limit >= 0
    ? limit
    : DEFAULT_CONFIGURATIONS;
}

function isEntry(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function endpointOf(answer: PortalAnswer, entry: Record<string, unknown>, key: string): URL {
  const value = entry[key];
  if (typeof value !== 'string' || !URL.canParse(value))
    throw notUnderstood(answer, `a discovery document without ${key}`);
  const url = new URL(value);
  if (url.protocol !== 'https:' && url.protocol !== answer.url.protocol) {
    throw notUnderstood(answer, `a discovery document that leads from https to ${url.origin}`, [
      'The web server in front of the portal must tell it that it is reached over https.',
    ]);
  }
  return url;
}
