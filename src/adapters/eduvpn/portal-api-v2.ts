import type { V6Error } from '../../core/errors.ts';
import type { IssuedConfig, PortalProfile } from '../../server/interfaces/portal-connector.ts';
import { type ApiCall, callApi } from './api-call.ts';
import { certificateEnd, openVpnText } from './client-text.ts';
import { jsonOf, notUnderstood, reasonOf } from './portal-answer.ts';
import type { PortalAnswer } from './portal-http.ts';
import { noProfile, parseProfile } from './profiles.ts';

/** API v2: profiles in the portal's order; all of them have OpenVPN. Throws V6_PORTAL_TOKEN, _ANSWER. */
export async function listProfilesV2(call: ApiCall): Promise<readonly PortalProfile[]> {
  const answer = await callApi(call, 'GET', '/profile_list', {});
  const list = dataOf(answer, 'profile_list');
  if (!Array.isArray(list)) throw notUnderstood(answer, 'a profile_list that is no list');
  return list.flatMap((item: unknown) => parseProfile(answer, item));
}

/**
 * API v2: the profile's file with a new keypair in it. The file is asked for first: a keypair cannot be given back, and stays
 * valid until its end. Throws V6_PORTAL_TOKEN, _NO_PROFILE, _NOT_OPENVPN, _ANSWER.
 */
export async function requestConfigV2(
  call: ApiCall,
  { profile }: { readonly profile: string },
): Promise<IssuedConfig> {
  // Strategy 2 names all ports of the profile, 1 (the default) a random one of them.
  const query = new URLSearchParams({ profile_id: profile, remote_strategy: '2' });
  const file = await callApi(call, 'GET', `/profile_config?${query.toString()}`, {});
  // A refusal has status 200 too, and is JSON.
  if (file.contentType === 'application/json') throw configRefused(file, profile);
  if (file.status !== 200) throw notUnderstood(file, reasonOf(file));
  const text = openVpnText(file, ['ca', 'remote']);
  const keypair = await requestKeypair(call);
  const whole = `${text.trimEnd()}\n<cert>\n${keypair.certificate}\n</cert>\n<key>\n${keypair.privateKey}\n</key>\n`;
  return { text: whole, expiresAt: certificateEnd(whole) };
}

async function requestKeypair(
  call: ApiCall,
): Promise<{ readonly certificate: string; readonly privateKey: string }> {
  const answer = await callApi(call, 'POST', '/create_keypair', {});
  const data = dataOf(answer, 'create_keypair') as Record<string, unknown> | null | undefined;
  const { certificate, private_key: privateKey } = data ?? {};
  if (typeof certificate !== 'string' || typeof privateKey !== 'string')
    throw notUnderstood(answer, 'a keypair without certificate or private_key');
  return { certificate: certificate.trim(), privateKey: privateKey.trim() };
}

/** The `data` of an answer's envelope, `{"<call>":{"ok":true,"data":…}}`. */
function dataOf(answer: PortalAnswer, name: string): unknown {
  if (answer.status !== 200) throw notUnderstood(answer, reasonOf(answer));
  const { ok, data, error } = envelopeOf(answer, name);
  if (ok !== true)
    throw notUnderstood(answer, typeof error === 'string' ? error : `${name} without ok`);
  return data;
}

function envelopeOf(answer: PortalAnswer, name: string): Readonly<Record<string, unknown>> {
  const envelope = jsonOf(answer)[name];
  if (typeof envelope !== 'object' || envelope === null)
    throw notUnderstood(answer, `an answer without ${name}`);
  return envelope as Record<string, unknown>;
}

function configRefused(answer: PortalAnswer, profile: string): V6Error {
  if (answer.status !== 200) return notUnderstood(answer, reasonOf(answer));
  const { error } = envelopeOf(answer, 'profile_config');
  const reason = typeof error === 'string' ? error.slice(0, 200) : 'no reason given';
  return noProfile(profile, reason);
}
