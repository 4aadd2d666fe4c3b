import type { PortalSettings } from '../../core/config/portal-settings.ts';
import { V6Error } from '../../core/errors.ts';
import type { PortalTokens } from '../../server/interfaces/portal-connector.ts';
import type { AuthorizationCode } from './authorize.ts';
import type { PortalEndpoints } from './discovery.ts';
import { answerError, errorCodeOf, jsonOf, notUnderstood, reasonOf } from './portal-answer.ts';
import { exchange, type PortalAnswer, type PortalHttpOptions } from './portal-http.ts';

export interface TokenCall {
  readonly options: PortalHttpOptions;
  readonly settings: PortalSettings;
  readonly endpoints: PortalEndpoints;
  readonly signal: AbortSignal | undefined;
}

/** Trades an authorization code for tokens. Throws V6_PORTAL_CLIENT, _ANSWER, _UNREACHABLE, _TLS. */
export async function redeemCode(call: TokenCall, given: AuthorizationCode): Promise<PortalTokens> {
  const answer = await post(call, {
    grant_type: 'authorization_code',
    code: given.code,
    redirect_uri: call.settings.redirectUrl,
    code_verifier: given.codeVerifier,
  });
  if (answer.status !== 200) throw notUnderstood(answer, reasonOf(answer));
  return parseTokens(answer, undefined);
}

/** Trades a refresh token for a new pair. Throws V6_PORTAL_TOKEN when the portal no longer takes it, else as redeemCode. */
export async function refreshTokens(call: TokenCall, tokens: PortalTokens): Promise<PortalTokens> {
  const answer = await post(call, {
    grant_type: 'refresh_token',
    refresh_token: tokens.refreshToken,
  });
  if (answer.status === 400 && errorCodeOf(answer) === 'invalid_grant') {
    throw answerError('V6_PORTAL_TOKEN', answer, reasonOf(answer), {
      hints: ['The authorization has ended: a new one is needed.'],
    });
  }
  if (answer.status !== 200) throw notUnderstood(answer, reasonOf(answer));
  // A 2.4 portal gives no new refresh token; the old one stays good there.
  return parseTokens(answer, tokens.refreshToken);
}

async function post(call: TokenCall, form: Record<string, string>): Promise<PortalAnswer> {
  const { options, settings, endpoints, signal } = call;
  const answer = await exchange(options, {
    method: 'POST',
    url: endpoints.token,
    headers: {
      accept: 'application/json',
      ...(settings.clientSecret === '' ? {} : { authorization: basicOf(settings) }),
    },
    // eduVPN wants client_id in the form beside Basic, which RFC 6749 section 4.1.3 does not ask for.
    form: { ...form, client_id: settings.clientId },
    signal,
  });
  if (answer.status === 401) throw clientRefused(settings, answer);
  return answer;
}

// Not form-encoded as RFC 6749 section 2.3.1 has it: eduVPN compares what PHP decodes from Basic as it comes.
function basicOf({ clientId, clientSecret }: PortalSettings): string {
  return `Basic ${Buffer.from(`${clientId}:${clientSecret}`, 'utf8').toString('base64')}`;
}

function clientRefused({ clientId, clientSecret }: PortalSettings, answer: PortalAnswer): V6Error {
  const hint =
    clientSecret === ''
      ? 'The client seems to be registered with a secret: put it into client_secret in vpn_server.'
      : "Make client_secret in vpn_server equal to the client's secret in the portal (oauth_client_db.json).";
  return new V6Error(
    'V6_PORTAL_CLIENT',
    `The VPN portal refuses the client ${JSON.stringify(clientId)}: ${reasonOf(answer)}`,
    {
      hints: [hint, 'Check client_id as well.'],
      details: { keys: ['client_secret', 'client_id'], clientId },
    },
  );
}

function parseTokens(answer: PortalAnswer, previousRefresh: string | undefined): PortalTokens {
  const { access_token, refresh_token = previousRefresh, token_type, expires_in } = jsonOf(answer);
  if (typeof access_token !== 'string' || access_token === '')
    throw notUnderstood(answer, 'no access_token');
  if (typeof refresh_token !== 'string' || refresh_token === '')
    throw notUnderstood(answer, 'no refresh_token');
  if (typeof token_type !== 'string' || token_type.toLowerCase() !== 'bearer')
    throw notUnderstood(answer, 'tokens of another type than bearer');
  if (typeof expires_in !== 'number' || !(expires_in > 0 && expires_in < 10 * 365 * 86_400))
    throw notUnderstood(answer, 'tokens without an end (expires_in)');
  return {
    accessToken: access_token,
    refreshToken: refresh_token,
    accessExpiresAt: new Date(Date.now() + expires_in * 1000),
  };
}
