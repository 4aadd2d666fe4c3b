import type { PortalSettings } from '../../core/config/portal-settings.ts';
import { V6Error } from '../../core/errors.ts';
import type { PortalProfile } from '../../server/interfaces/portal-connector.ts';
import { notUnderstood } from './portal-answer.ts';
import type { PortalAnswer } from './portal-http.ts';

/** An entry of a list of profiles, which both APIs spell alike; none when it has no OpenVPN. */
export function parseProfile(answer: PortalAnswer, item: unknown): PortalProfile[] {
  const { profile_id, display_name, vpn_proto_list } = (item ?? {}) as Record<string, unknown>;
  if (typeof profile_id !== 'string') throw notUnderstood(answer, 'a profile without profile_id');
  if (Array.isArray(vpn_proto_list) && !vpn_proto_list.includes('openvpn')) return [];
  // By the documentation the name may be an object language → text.
  const names = typeof display_name === 'object' && display_name !== null ? display_name : {};
  const [translated] = Object.values(names) as unknown[];
  const name = typeof display_name === 'string' ? display_name : translated;
  return [{ id: profile_id, displayName: typeof name === 'string' ? name : profile_id }];
}

/** V6_PORTAL_NO_PROFILE: the account cannot have this profile. */
export function noProfile(profile: string, reason: string): V6Error {
  return new V6Error(
    'V6_PORTAL_NO_PROFILE',
    `The VPN portal has no profile ${JSON.stringify(profile)} for this account: ${reason}`,
    {
      hints: ['Correct profile in vpn_server, or give the account access to it in the portal.'],
      details: { keys: ['profile'], profile },
    },
  );
}

/** The profile that the settings name, or the only one. Throws V6_PORTAL_NO_PROFILE, V6_PORTAL_SEVERAL_PROFILES. */
export function chooseProfile(
  profiles: readonly PortalProfile[],
  { profile, username, url }: PortalSettings,
): PortalProfile {
  const ids = profiles.map(({ id }) => id);
  const found = profile === undefined ? profiles[0] : profiles.find(({ id }) => id === profile);
  if (found === undefined) {
    const what = profile === undefined ? 'no profile' : `no profile ${JSON.stringify(profile)}`;
    throw new V6Error(
      'V6_PORTAL_NO_PROFILE',
      `The VPN portal ${url} offers ${what} with OpenVPN to user ${JSON.stringify(username)}`,
      {
        hints:
          ids.length > 0
            ? [`Set profile in vpn_server to one of: ${ids.join(', ')}`]
            : ['Make a profile with OpenVPN in the portal and give the account access to it.'],
        details: { keys: ['profile'], offered: ids },
      },
    );
  }
  if (profile === undefined && profiles.length > 1) {
    throw new V6Error(
      'V6_PORTAL_SEVERAL_PROFILES',
      `The VPN portal ${url} offers ${ids.length} profiles: ${ids.join(', ')}`,
      {
        hints: [`Set profile in vpn_server to one of them, for example: profile: ${found.id}`],
        details: { keys: ['profile'], offered: ids },
      },
    );
  }
  return found;
}
