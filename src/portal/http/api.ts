import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isV6Error } from '../../core/errors.ts';
import type { Authorizations } from '../authorizations.ts';
import type { Configurations } from '../configurations.ts';
import type { Authorization } from '../interfaces/store.ts';
import type { EmbeddedPortalSettings } from '../settings.ts';
import { formOf, PREFIX, sendJson } from './exchange.ts';

export interface ApiDeps {
  readonly settings: Pick<EmbeddedPortalSettings, 'url' | 'profile' | 'testModes'>;
  readonly authorizations: Authorizations;
  readonly configurations: Configurations;
}

type Handler = (
  request: FastifyRequest,
  reply: FastifyReply,
  authorization: Authorization,
  deps: ApiDeps,
) => FastifyReply | Promise<FastifyReply>;

const CALLS: Readonly<Record<string, { readonly method: string; readonly handle: Handler }>> = {
  '/v3/info': { method: 'GET', handle: info },
  '/v3/connect': { method: 'POST', handle: connect },
  '/v3/disconnect': { method: 'POST', handle: disconnect },
};

const API = `${PREFIX}/api`;

/** The discovery document and eduVPN's API version 3. The bearer token is checked before the path, as there. */
export function addApiRoutes(app: FastifyInstance, deps: ApiDeps): void {
  const root = `${deps.settings.url}${PREFIX}`;
  app.get('/.well-known/vpn-user-portal', (_request, reply) =>
    sendJson(reply.header('cache-control', 'no-store'), 200, {
      api: {
        'http://eduvpn.org/api#3': {
          api_endpoint: `${root}/api/v3`,
          authorization_endpoint: `${root}/oauth/authorize`,
          token_endpoint: `${root}/oauth/token`,
        },
      },
      // What it behaves like; the suffix is ours, as packages have one.
      v: '3.4.1-v6',
      // Ours: eduVPN says it nowhere. 0 is no limit but the number of addresses.
      ...(deps.settings.testModes?.maxActiveConfigurations === undefined
        ? { v6: { max_active_configurations: 0 } }
        : {}),
    }),
  );
  app.all(`${API}/*`, async (request, reply) => {
    const outcome = deps.authorizations.checkBearer(request.headers.authorization);
    if (!outcome.ok) {
      const { status, error, description } = outcome.refusal;
      reply.header('www-authenticate', 'Bearer realm="OAuth",error="invalid_token"');
      return sendJson(reply, status, { error, error_description: description });
    }
    const path = (request.url.split('?')[0] ?? '').slice(API.length);
    const call = CALLS[path];
    if (call === undefined) return sendJson(reply, 404, { error: `"${path}" not found` });
    if (request.method !== call.method) {
      reply.header('allow', call.method);
      return sendJson(reply, 405, { error: `method "${request.method}" not allowed` });
    }
    return call.handle(request, reply, outcome.authorization, deps);
  });
}

function info(
  _request: FastifyRequest,
  reply: FastifyReply,
  _authorization: Authorization,
  { settings }: ApiDeps,
): FastifyReply {
  return sendJson(reply, 200, {
    info: {
      profile_list: [
        {
          profile_id: settings.profile.id,
          display_name: settings.profile.displayName,
          vpn_proto_list: ['openvpn'],
          default_gateway: false,
        },
      ],
    },
  });
}

async function connect(
  request: FastifyRequest,
  reply: FastifyReply,
  authorization: Authorization,
  { settings, configurations }: ApiDeps,
): Promise<FastifyReply> {
  const form = formOf(request);
  // All of it is checked before anything that the node holds is taken away.
  const problem = connectProblem(form, request.headers.accept, settings.profile.id);
  if (problem !== undefined) return sendJson(reply, problem.status, { error: problem.error });
  try {
    const text = await configurations.connect({
      authorization,
      node: form.get('v6_node'),
      prefersTcp: form.get('prefer_tcp') === 'yes' || form.get('tcp_only') === 'on',
    });
    return reply
      .code(200)
      .headers({
        'content-type': 'application/x-openvpn-profile',
        expires: authorization.expiresAt.toUTCString(),
      })
      .send(Buffer.from(text));
  } catch (error) {
    if (!isV6Error(error, 'V6_PORTAL_QUOTA')) throw error;
    // The status that eduVPN has for an account that may hold no more; the code is ours.
    return sendJson(reply, 403, { error: error.message, code: error.code });
  }
}

interface Problem {
  readonly status: 400 | 404 | 406;
  readonly error: string;
}

const FIELD_RULES: Readonly<Record<string, RegExp>> = {
  profile_id: /^[A-Za-z0-9.-]+$/,
  public_key: /^[A-Za-z0-9+/]{43}=$/,
  prefer_tcp: /^(yes|no)$/,
  tcp_only: /^(on|off)$/,
  // Upstream's names of nodes have spaces and any letters; control characters and line ends never.
  v6_node: /^(?!authorization\/)[^\p{C}\p{Zl}\p{Zp}]{1,255}$/u,
};

function connectProblem(
  form: ReadonlyMap<string, string>,
  accept: string | undefined,
  profileId: string,
): Problem | undefined {
  if (!form.has('profile_id')) {
    return { status: 400, error: 'missing post parameter "profile_id"' };
  }
  for (const [name, rule] of Object.entries(FIELD_RULES)) {
    const value = form.get(name);
    if (value !== undefined && !rule.test(value)) {
      return { status: 400, error: `invalid value for "${name}"` };
    }
  }
  if (form.get('profile_id') !== profileId) {
    return { status: 404, error: 'no such "profile_id"' };
  }
  const types = (accept ?? '').split(',').map((type) => type.trim());
  const wantsOnlyWireGuard =
    types.includes('application/x-wireguard-profile') &&
    !types.includes('application/x-openvpn-profile');
  return wantsOnlyWireGuard
    ? {
        status: 406,
        error: 'no common VPN protocol support between client and server profile',
      }
    : undefined;
}

async function disconnect(
  _request: FastifyRequest,
  reply: FastifyReply,
  authorization: Authorization,
  { configurations }: ApiDeps,
): Promise<FastifyReply> {
  await configurations.endAuthorization(authorization.id);
  return reply.code(204).send();
}
