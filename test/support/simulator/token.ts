import { json, type SimulatedAnswer, type SimulatedRequest } from './exchange.ts';
import {
  type Authorization,
  challengeOf,
  type PortalState,
  type SimulatedClient,
} from './state.ts';
import type { Generation } from './texts.ts';

interface TokenDeps {
  readonly state: PortalState;
  readonly generation: Generation;
}

type Refusal = { readonly error: string; readonly description: string };

const invalidRequest = (description: string): Refusal => ({
  error: 'invalid_request',
  description,
});
const invalidGrant = (description: string): Refusal => ({ error: 'invalid_grant', description });
const invalidClient = (description: string): Refusal => ({ error: 'invalid_client', description });

/** The token endpoint, by the rules of the OAuth library that portal 2.4.4 has and the stand-in of 3.4.1 shares. */
export function answerToken(deps: TokenDeps, request: SimulatedRequest): SimulatedAnswer {
  if (request.method !== 'POST') return json(401, { error: 'unable to authenticate user' });
  const { form } = request;
  const grant = form.get('grant_type');
  if (grant === undefined) return refuse(invalidRequest('missing "grant_type" parameter'));
  if (grant === 'authorization_code') return redeem(deps, request);
  if (grant === 'refresh_token') return refresh(deps, request);
  return refuse(invalidRequest('invalid "grant_type"'));
}

function refuse({ error, description }: Refusal): SimulatedAnswer {
  const isClient = error === 'invalid_client';
  return json(
    isClient ? 401 : 400,
    { error, error_description: description },
    isClient ? { 'WWW-Authenticate': 'Basic realm="OAuth"' } : {},
  );
}

function authenticate(
  state: PortalState,
  { headers }: SimulatedRequest,
  clientId: string,
): SimulatedClient | Refusal {
  const client = state.client(clientId);
  if (client === undefined) return invalidClient('client does not exist with this "client_id"');
  if (client.secret === undefined) return client;
  const basic = /^Basic (.+)$/.exec(headers.authorization ?? '')?.[1];
  if (basic === undefined) return invalidClient('invalid credentials (no authenticating user)');
  const [user = '', ...password] = Buffer.from(basic, 'base64').toString('utf8').split(':');
  if (user !== clientId) return invalidClient('"client_id" does not match authenticating user');
  return password.join(':') === client.secret
    ? client
    : invalidClient('invalid credentials (invalid authenticating pass)');
}

function redeem({ state }: TokenDeps, request: SimulatedRequest): SimulatedAnswer {
  const { form } = request;
  for (const name of ['client_id', 'code', 'redirect_uri', 'code_verifier'])
    if (!form.has(name)) return refuse(invalidRequest(`missing "${name}" parameter`));
  const client = authenticate(state, request, form.get('client_id') ?? '');
  if ('error' in client) return refuse(client);
  const verifier = form.get('code_verifier') ?? '';
  if (!/^[\w.~-]{43,128}$/.test(verifier)) return refuse(invalidRequest('invalid "code_verifier"'));
  const code = state.codes.get(form.get('code') ?? '');
  if (code === undefined) return refuse(invalidGrant('"authorization_code" has invalid signature'));
  if (code.redirectUri !== form.get('redirect_uri'))
    return refuse(invalidRequest('unexpected "redirect_uri"'));
  if (challengeOf(verifier) !== code.challenge)
    return refuse(invalidGrant('invalid "code_verifier"'));
  if (code.isUsed) {
    state.endAuthorization(code.authorization.id);
    return refuse(invalidGrant('"authorization_code" was used before'));
  }
  code.isUsed = true;
  return tokens(state, code.authorization, true);
}

function refresh({ state, generation }: TokenDeps, request: SimulatedRequest): SimulatedAnswer {
  const text = request.form.get('refresh_token') ?? '';
  const token = state.tokens.get(text);
  if (token === undefined) return refuse(invalidGrant('"refresh_token" has invalid signature'));
  const client = authenticate(state, request, token.authorization.clientId);
  if ('error' in client) return refuse(client);
  if (token.kind !== 'refresh_token')
    return refuse(invalidGrant('expected "refresh_token", got "access_token"'));
  if (!state.isAlive(token.authorization))
    return refuse(invalidGrant('"refresh_token" is no longer authorized'));
  if (generation === 'v2') return tokens(state, token.authorization, false);
  if (token.isUsed) {
    // RFC 9700 section 4.14.2: who replays it may have stolen it.
    state.endAuthorization(token.authorization.id);
    return refuse(invalidGrant('"refresh_token" was used before'));
  }
  token.isUsed = true;
  return tokens(state, token.authorization, true);
}

function tokens(
  state: PortalState,
  authorization: Authorization,
  isPair: boolean,
): SimulatedAnswer {
  const access = state.issue(authorization, 'access_token');
  return json(
    200,
    {
      access_token: access.text,
      ...(isPair ? { refresh_token: state.issue(authorization, 'refresh_token').text } : {}),
      token_type: 'bearer',
      expires_in: access.seconds,
    },
    { 'Cache-Control': 'no-store', Pragma: 'no-cache' },
  );
}

/** Who a bearer token stands for, or the refusal. */
export function checkBearer(
  { state, generation }: TokenDeps,
  { headers }: SimulatedRequest,
): Authorization | SimulatedAnswer {
  const refuseToken = (description: string): SimulatedAnswer =>
    json(
      401,
      { error: 'invalid_token', error_description: description },
      { 'WWW-Authenticate': 'Bearer realm="OAuth",error="invalid_token"' },
    );
  const header = headers.authorization;
  if (header === undefined && generation === 'v3') return refuseToken('missing Bearer token');
  const text = /^Bearer (\S+)$/.exec(header ?? '')?.[1];
  if (text === undefined) return refuseToken('invalid Bearer token');
  const token = state.tokens.get(text);
  if (token === undefined)
    return refuseToken(
      generation === 'v3' ? '"access_token" has invalid signature' : 'missing "kid"',
    );
  if (token.kind !== 'access_token')
    return refuseToken('expected "access_token", got "refresh_token"');
  if (!state.isAlive(token.authorization)) {
    const scope = generation === 'v3' ? ' with scope "config"' : '';
    return refuseToken(
      `authorization for client "${token.authorization.clientId}"${scope} no longer exists`,
    );
  }
  if (token.expiresAt <= state.now()) return refuseToken('"access_token" expired');
  return token.authorization;
}
