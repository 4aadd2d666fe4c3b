import type { PortalTokens } from '../../server/interfaces/portal-connector.ts';
import type { PortalEndpoints } from './discovery.ts';
import { answerError, reasonOf } from './portal-answer.ts';
import { exchange, type PortalAnswer, type PortalHttpOptions } from './portal-http.ts';

export interface ApiCall {
  readonly options: PortalHttpOptions;
  readonly endpoints: PortalEndpoints;
  readonly tokens: PortalTokens;
  readonly signal: AbortSignal | undefined;
}

/** One call of the API with the bearer token. Throws V6_PORTAL_TOKEN for 401 unless that is allowed, and as exchange does. */
export async function callApi(
  call: ApiCall,
  method: 'GET' | 'POST',
  path: string,
  parts: {
    readonly headers?: Readonly<Record<string, string>>;
    readonly form?: Readonly<Record<string, string>>;
  },
  unauthorized: 'allow 401' | 'refuse 401' = 'refuse 401',
): Promise<PortalAnswer> {
  const answer = await exchange(call.options, {
    method,
    url: new URL(`${call.endpoints.api}${path}`),
    headers: {
      accept: 'application/json',
      ...parts.headers,
      authorization: `Bearer ${call.tokens.accessToken}`,
    },
    ...(parts.form === undefined ? {} : { form: parts.form }),
    signal: call.signal,
  });
  if (answer.status === 401 && unauthorized === 'refuse 401') {
    throw answerError('V6_PORTAL_TOKEN', answer, reasonOf(answer), {
      hints: ['The authorization has ended or was revoked in the portal: a new one is needed.'],
    });
  }
  return answer;
}
