import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createCertificateMaker } from '../../src/portal/pki.ts';
import { STATIC_KEY } from './client-files.ts';
import { recorded } from './portal-replay.ts';
import { type ApiDeps, answerApi } from './simulator/api.ts';
import { json, type SimulatedAnswer, type SimulatedRequest } from './simulator/exchange.ts';
import { answerPage } from './simulator/pages.ts';
import {
  type Configuration,
  type Eviction,
  type PortalConfiguration,
  PortalState,
} from './simulator/state.ts';
import type { Generation } from './simulator/texts.ts';
import { answerToken, checkBearer } from './simulator/token.ts';

/** `v3`: as portal 3.4.1. `both`: as 2.4.4, which has API v2 and v3. `v2`: as a portal before 2.4.1. */
export type SimulatedApi = 'v3' | 'both' | 'v2';

/** The parts of a portal that can fail. */
export type Place =
  | 'discovery'
  | 'login'
  | 'authorize'
  | 'token'
  | 'info'
  | 'connect'
  | 'keypair'
  | 'disconnect';

/**
 * How a part fails. `slow`: it does its work and answers after `ms`. `status`: it does nothing and answers that. `page`: it
 * does nothing and answers 200 with a web page. `truncated`: it does its work and answers with the first half. `cut`: the
 * connection ends, `before` or `after` the work.
 */
export type Fault =
  | { readonly kind: 'slow'; readonly ms: number }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'page' | 'truncated' }
  | { readonly kind: 'cut'; readonly when: 'before' | 'after' };

export interface PortalSimulator {
  readonly url: string;
  /** May be changed at any time. */
  readonly configuration: PortalConfiguration;
  /** What was asked, for instance `POST connect`, in order. */
  readonly journal: readonly string[];
  /** Configurations that were ended to make room for another authorization. */
  readonly evictions: readonly Eviction[];
  /** Most configurations that counted at once, ever. */
  readonly mostAtOnce: number;
  /** What counts towards the maximum now. */
  configurations(): readonly Configuration[];
  /** The next `times` requests there fail (default: all from now on). */
  fail(place: Place, fault: Fault, times?: number): void;
  mend(): void;
  /** The administrator disables the account: all tokens end. When a fresh login is refused depends on the portal. */
  disableAccount(noticed?: 'from the second request' | 'at once'): void;
  /** The user revokes all applications. */
  endAuthorizations(): void;
  close(): Promise<void>;
}

export interface SimulatorOptions extends Partial<PortalConfiguration> {
  readonly api?: SimulatedApi;
  /** Passwords by user; default `nodes` with `portal-password`. */
  readonly users?: Readonly<Record<string, string>>;
}

/** The account and client that a simulated portal knows by default. */
export const SIMULATED = {
  username: 'nodes',
  password: 'portal-password',
  clientId: 'some-client.vantage6.ai',
  clientSecret: 'client-secret',
  redirectUrl: 'http://localhost',
} as const;

function defaults(api: SimulatedApi): PortalConfiguration {
  const { clientId, clientSecret: secret } = SIMULATED;
  const redirectUris = ['http://localhost', 'https://server.example.test/vpn'];
  return {
    clients: [
      { id: clientId, secret, redirectUris },
      { id: 'public-client', redirectUris },
      { id: 'approval-client', redirectUris, requiresApproval: true },
    ],
    profiles: [
      api === 'v3'
        ? { id: 'default', displayName: 'Default', protocols: ['openvpn'] }
        : { id: 'internet', displayName: 'vantage6 :: vpn service', protocols: ['openvpn'] },
    ],
    maxActiveConfigurations: 3,
    sessionSeconds: 90 * 86_400,
    tokenSeconds: 3600,
    deleteAuthorizationOnDisconnect: false,
    isNodeUp: true,
    skewMs: 0,
  };
}

/**
 * A portal that behaves as eduVPN's do, on loopback over HTTP, with sessions, authorizations, single-use refresh tokens,
 * configurations and their limit. Its pages and files are the recorded ones with its own values in them; that it answers as
 * the recordings do is checked in test/contracts/portal-simulator.test.ts.
 */
export async function startPortalSimulator(
  options: SimulatorOptions = {},
): Promise<PortalSimulator> {
  const { api = 'v3', users = { [SIMULATED.username]: SIMULATED.password }, ...given } = options;
  const configuration: PortalConfiguration = { ...defaults(api), ...given };
  const state = new PortalState(configuration);
  const generation: Generation = api === 'v3' ? 'v3' : 'v2';
  const maker = createCertificateMaker();
  const authority = await maker.makeAuthority(
    new Date(Date.now() - 86_400_000),
    new Date(Date.now() + 3650 * 86_400_000),
  );
  const journal: string[] = [];
  const faults = new Map<Place, { readonly fault: Fault; left: number }>();
  let mostAtOnce = 0;
  const server = createServer((request, response) => void handle(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const deps: ApiDeps = { state, generation, origin, maker, authority, staticKey: STATIC_KEY };

  const take = (place: Place | undefined): Fault | undefined => {
    const found = place && faults.get(place);
    if (found === undefined || found.left === 0) return undefined;
    found.left -= 1;
    return found.fault;
  };

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const request = await read(incoming, origin);
    const place = placeOf(request.url.pathname);
    journal.push(`${request.method} ${place ?? request.url.pathname}`);
    const fault = take(place);
    if (fault?.kind === 'cut' && fault.when === 'before') {
      incoming.socket.destroy();
      return;
    }
    const answer =
      brokenAnswer(fault) ?? (await answerOf(deps, api, new Map(Object.entries(users)), request));
    mostAtOnce = Math.max(mostAtOnce, state.counting().length);
    if (fault?.kind === 'slow') await new Promise((resolve) => setTimeout(resolve, fault.ms));
    if (fault?.kind === 'cut') {
      incoming.socket.destroy();
      return;
    }
    const isHalf = fault?.kind === 'truncated';
    const body = isHalf ? answer.body.slice(0, answer.body.length / 2) : answer.body;
    const headers = Object.fromEntries(
      Object.entries(answer.headers).map(([name, value]) => [
        name,
        typeof value === 'string' ? value : [...value],
      ]),
    );
    response.writeHead(answer.status, { ...headers, Date: state.now().toUTCString() }).end(body);
  };

  return {
    url: origin,
    configuration,
    journal,
    evictions: state.evictions,
    get mostAtOnce() {
      return mostAtOnce;
    },
    configurations: () => state.counting(),
    fail: (place, fault, times = Number.POSITIVE_INFINITY) => {
      faults.set(place, { fault, left: times });
    },
    mend: () => faults.clear(),
    disableAccount: (noticed = 'from the second request') => {
      state.disabled = noticed;
      for (const id of state.authorizations.keys()) state.endAuthorization(id);
    },
    endAuthorizations: () => {
      for (const id of state.authorizations.keys()) state.endAuthorization(id);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function read(incoming: IncomingMessage, origin: string): Promise<SimulatedRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks).toString('utf8');
  const headers = incoming.headers as Record<string, string | undefined>;
  const isForm = (headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded');
  return {
    method: incoming.method ?? '',
    url: new URL(incoming.url ?? '/', origin),
    headers,
    body,
    form: new Map(isForm ? new URLSearchParams(body) : []),
  };
}

const PLACES: readonly (readonly [RegExp, Place])[] = [
  [/^\/\.well-known\//, 'discovery'],
  [/auth\/verify$/, 'login'],
  [/\/_?oauth\/authorize$/, 'authorize'],
  [/\/oauth(\.php)?\/token$/, 'token'],
  [/\/(info|profile_list)$/, 'info'],
  [/\/(connect|profile_config)$/, 'connect'],
  [/\/create_keypair$/, 'keypair'],
  [/\/disconnect$/, 'disconnect'],
];

const placeOf = (path: string): Place | undefined =>
  PLACES.find(([pattern]) => pattern.test(path))?.[1];

function brokenAnswer(fault: Fault | undefined): SimulatedAnswer | undefined {
  if (fault?.kind === 'status') return json(fault.status, { error: 'internal error' });
  if (fault?.kind !== 'page') return undefined;
  return {
    status: 200,
    headers: { 'Content-Type': 'text/html;charset=utf-8' },
    body: '<!DOCTYPE html>\n<html><body><p>Down for maintenance</p></body></html>\n',
  };
}

const PREFIX = '/vpn-user-portal';

async function answerOf(
  deps: ApiDeps,
  api: SimulatedApi,
  users: ReadonlyMap<string, string>,
  request: SimulatedRequest,
): Promise<SimulatedAnswer> {
  const { pathname: path } = request.url;
  const isV3 = deps.generation === 'v3';
  if (path === '/.well-known/vpn-user-portal') return discovery(deps, api);
  if (path === PREFIX) return movedByWebServer(deps);
  if (path === `${PREFIX}${isV3 ? '/oauth/token' : '/oauth.php/token'}`)
    return answerToken(deps, request);
  // What a portal has since 3.2.2 for apps that remember it as it was before its upgrade.
  if (path === `${PREFIX}/oauth.php/token`)
    return json(
      400,
      { error: 'invalid_grant' },
      { 'Cache-Control': 'no-store', Pragma: 'no-cache' },
    );
  const root = `${PREFIX}${isV3 ? '/api' : '/api.php'}`;
  if (path.startsWith(`${root}/`)) {
    const caller = checkBearer(deps, request);
    return 'status' in caller ? caller : answerApi(deps, request, path.slice(root.length), caller);
  }
  return answerPage({ ...deps, users }, request);
}

// The web server's own answer, before the portal sees anything.
const movedByWebServer = ({ origin }: ApiDeps): SimulatedAnswer => ({
  status: 301,
  headers: { 'Content-Type': 'text/html', Location: `${origin}${PREFIX}/` },
  body: '<html>\n<head><title>301 Moved Permanently</title></head>\n<body></body>\n</html>\n',
});

function discovery({ origin, generation }: ApiDeps, api: SimulatedApi): SimulatedAnswer {
  const { response } = recorded('01-discovery', 0, generation);
  const text = response.body.replaceAll(/https:\/\/(vpn|legacy)\.example\.test/g, origin);
  const document = JSON.parse(text) as { v: string; api: Record<string, unknown> };
  if (api === 'v2') delete document.api['http://eduvpn.org/api#3'];
  return json(200, document, { 'Cache-Control': 'no-store' });
}
