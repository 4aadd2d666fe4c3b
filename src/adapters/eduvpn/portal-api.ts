import type { V6Error } from '../../core/errors.ts';
import type { IssuedConfig, PortalProfile } from '../../server/interfaces/portal-connector.ts';
import { type ApiCall, callApi } from './api-call.ts';
import { certificateEnd, dateOf, OPENVPN_TYPE, openVpnText } from './client-text.ts';
import { answerError, jsonOf, notUnderstood, reasonOf } from './portal-answer.ts';
import type { PortalAnswer } from './portal-http.ts';
import { noProfile, parseProfile } from './profiles.ts';

/** API v3: profiles that can be had over OpenVPN, in the portal's order. Throws V6_PORTAL_TOKEN, _ANSWER. */
export async function listProfiles(call: ApiCall): Promise<readonly PortalProfile[]> {
  const answer = await callApi(call, 'GET', '/info', {});
  if (answer.status !== 200) throw notUnderstood(answer, reasonOf(answer));
  const { info } = jsonOf(answer);
  const list = (info as { profile_list?: unknown } | undefined)?.profile_list;
  if (!Array.isArray(list)) throw notUnderstood(answer, 'an info without profile_list');
  return list.flatMap((item: unknown) => parseProfile(answer, item));
}

/** API v3: issues a client config. Throws V6_PORTAL_TOKEN, _NO_PROFILE, _QUOTA, _NOT_OPENVPN, _ANSWER. */
export async function requestConfig(
  call: ApiCall,
  input: { readonly profile: string; readonly node: string },
): Promise<IssuedConfig> {
  const answer = await callApi(call, 'POST', '/connect', {
    headers: { accept: OPENVPN_TYPE },
    // eduVPN ignores v6_node; our own portal makes the node the owner of address and lease.
    form: { profile_id: input.profile, v6_node: input.node },
  });
  if (answer.status < 200 || answer.status > 299) throw connectRefused(answer, input.profile);
  const text = openVpnText(answer, ['ca', 'cert', 'key', 'remote']);
  return { text, expiresAt: dateOf(answer.headers.get('expires')) ?? certificateEnd(text) };
}

/** API v3: gives back what the authorization holds. A token that is no longer known holds nothing. Throws V6_PORTAL_ANSWER. */
export async function endConfigs(call: ApiCall): Promise<void> {
  const answer = await callApi(call, 'POST', '/disconnect', {}, 'allow 401');
  if (answer.status === 401 || (answer.status >= 200 && answer.status <= 299)) return;
  throw notUnderstood(answer, reasonOf(answer));
}

function connectRefused(answer: PortalAnswer, profile: string): V6Error {
  const reason = reasonOf(answer);
  if (answer.status === 404) return noProfile(profile, reason);
  if (answer.status === 403) {
    return answerError('V6_PORTAL_QUOTA', answer, reason, {
      hints: ['Raise Api.maxActiveConfigurations in the portal to at least the number of nodes.'],
      details: { keys: ['Api.maxActiveConfigurations'] },
    });
  }
  if (answer.status === 406) {
    return answerError('V6_PORTAL_NOT_OPENVPN', answer, reason, {
      hints: [
        'Enable OpenVPN in this profile of the portal, or name another in vpn_server.profile.',
      ],
      details: { keys: ['profile'] },
    });
  }
  return notUnderstood(answer, reason, ['The log of the portal says more.']);
}
