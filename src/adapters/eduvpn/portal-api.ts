import { V6Error } from '../../core/errors.ts';
import type {
  IssuedConfig,
  PortalProfile,
  PortalTokens,
} from '../../server/interfaces/portal-connector.ts';
import type { PortalEndpoints } from './discovery.ts';
import { answerError, jsonOf, notUnderstood, reasonOf } from './portal-answer.ts';
import { exchange, type PortalAnswer, type PortalHttpOptions } from './portal-http.ts';

export interface ApiCall {
  readonly options: PortalHttpOptions;
  readonly endpoints: PortalEndpoints;
  readonly tokens: PortalTokens;
  readonly signal: AbortSignal | undefined;
}

const OPENVPN_TYPE = 'application/x-openvpn-profile';

/** Profiles that can be had over OpenVPN, in the portal's order. Throws V6_PORTAL_TOKEN, _ANSWER. */
export async function listProfiles(call: ApiCall): Promise<readonly PortalProfile[]> {
  const answer = await request(call, 'GET', '/info', {});
  if (answer.status !== 200) throw notUnderstood(answer, reasonOf(answer));
  const { info } = jsonOf(answer);
  const list = (info as { profile_list?: unknown } | undefined)?.profile_list;
  if (!Array.isArray(list)) throw notUnderstood(answer, 'an info without profile_list');
  return list.flatMap((item: unknown) => parseProfile(answer, item));
}

/** Issues a client config. Throws V6_PORTAL_TOKEN, _NO_PROFILE, _QUOTA, _NOT_OPENVPN, _ANSWER. */
export async function requestConfig(
  call: ApiCall,
  input: { readonly profile: string; readonly node: string },
): Promise<IssuedConfig> {
  const answer = await request(call, 'POST', '/connect', {
    headers: { accept: OPENVPN_TYPE },
    // eduVPN ignores v6_node; our own portal makes the node the owner of address and lease.
    form: { profile_id: input.profile, v6_node: input.node },
  });
  if (answer.status < 200 || answer.status > 299) throw connectRefused(answer, input.profile);
  const text = answer.text.replaceAll('\r\n', '\n');
  const missing = answer.contentType === OPENVPN_TYPE ? missingParts(text) : ['content type'];
  if (missing.length > 0) throw notOpenVpn(answer, missing);
  return { text, expiresAt: dateOf(answer.headers.get('expires')) };
}

/** Gives back what the authorization holds. A token that is no longer known holds nothing. Throws V6_PORTAL_ANSWER. */
export async function endConfigs(call: ApiCall): Promise<void> {
  const answer = await request(call, 'POST', '/disconnect', {}, 'allow 401');
  if (answer.status === 401 || (answer.status >= 200 && answer.status <= 299)) return;
  throw notUnderstood(answer, reasonOf(answer));
}

async function request(
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

function parseProfile(answer: PortalAnswer, item: unknown): PortalProfile[] {
  const { profile_id, display_name, vpn_proto_list } = (item ?? {}) as Record<string, unknown>;
  if (typeof profile_id !== 'string') throw notUnderstood(answer, 'a profile without profile_id');
  if (Array.isArray(vpn_proto_list) && !vpn_proto_list.includes('openvpn')) return [];
  // By the documentation the name may be an object language → text.
  const names = typeof display_name === 'object' && display_name !== null ? display_name : {};
  const [translated] = Object.values(names) as unknown[];
  const name = typeof display_name === 'string' ? display_name : translated;
  return [{ id: profile_id, displayName: typeof name === 'string' ? name : profile_id }];
}

function connectRefused(answer: PortalAnswer, profile: string): V6Error {
  const reason = reasonOf(answer);
  if (answer.status === 404) {
    return new V6Error(
      'V6_PORTAL_NO_PROFILE',
      `The VPN portal has no profile ${JSON.stringify(profile)} for this account: ${reason}`,
      {
        hints: ['Correct profile in vpn_server, or give the account access to it in the portal.'],
        details: { keys: ['profile'], profile },
      },
    );
  }
  if (answer.status === 403) {
    return answerError('V6_PORTAL_QUOTA', answer, reason, {
      hints: ['Raise Api.maxActiveConfigurations in the portal to at least the number of nodes.'],
    });
  }
  if (answer.status === 406) {
    return answerError('V6_PORTAL_NOT_OPENVPN', answer, reason, {
      hints: [
        'Enable OpenVPN in this profile of the portal, or name another in vpn_server.profile.',
      ],
    });
  }
  return notUnderstood(answer, reason, ['The log of the portal says more.']);
}

function missingParts(text: string): readonly string[] {
  const blocks = ['ca', 'cert', 'key'].filter((name) => {
    const block = new RegExp(`^<${name}>\\s*$([\\s\\S]*?)^</${name}>\\s*$`, 'm').exec(text)?.[1];
    return !/-----BEGIN [A-Z ]+-----/.test(block ?? '');
  });
  return /^remote\s+\S+/m.test(text) ? blocks : [...blocks, 'remote'];
}

function notOpenVpn(answer: PortalAnswer, missing: readonly string[]): V6Error {
  const what =
    missing[0] === 'content type'
      ? `a body of type ${answer.contentType || 'unknown'} instead of an OpenVPN file`
      : `an OpenVPN file without ${missing.join(', ')}`;
  return answerError('V6_PORTAL_NOT_OPENVPN', answer, what, {
    hints: [
      'Enable OpenVPN in this profile of the portal, or name another profile in vpn_server.profile.',
    ],
    details: { missing },
  });
}

function dateOf(text: string | null): Date | undefined {
  const date = new Date(text ?? '');
  return Number.isNaN(date.getTime()) ? undefined : date;
}
