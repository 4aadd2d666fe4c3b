import type { PortalSettings } from '../../core/config/portal-settings.ts';
import { V6Error } from '../../core/errors.ts';
import type { PortalConnector, PortalProfile } from '../../server/interfaces/portal-connector.ts';
import { requestCode } from './authorize.ts';
import { discover, type PortalEndpoints } from './discovery.ts';
import { endConfigs, listProfiles, requestConfig } from './portal-api.ts';
import type { PortalHttpOptions } from './portal-http.ts';
import { redeemCode, refreshTokens } from './token.ts';

export interface PortalConnectorOptions {
  /** Limit of each single exchange with the portal, in ms; default 15 000. */
  readonly timeoutMs?: number;
  readonly fetch?: typeof globalThis.fetch;
}

// Discovery is to be fetched anew before each use; the calls of one use come within this time.
const DISCOVERY_LIFE_MS = 30_000;

/** Talks to an eduVPN portal with API v3, or to ours. Nothing is contacted before the first call. */
export function createPortalConnector(
  settings: PortalSettings,
  options: PortalConnectorOptions = {},
): PortalConnector {
  const http: PortalHttpOptions = {
    timeoutMs: options.timeoutMs ?? 15_000,
    fetch: options.fetch ?? globalThis.fetch,
  };
  let known: { readonly endpoints: PortalEndpoints; readonly fetchedAtMs: number } | undefined;
  const endpointsOf = async (signal: AbortSignal | undefined): Promise<PortalEndpoints> => {
    if (known === undefined || performance.now() - known.fetchedAtMs > DISCOVERY_LIFE_MS) {
      known = undefined;
      const endpoints = await discover(http, settings.url, signal);
      known = { endpoints, fetchedAtMs: performance.now() };
    }
    return known.endpoints;
  };
  return {
    async authorize(signal) {
      const endpoints = await endpointsOf(signal);
      const code = await requestCode(http, settings, endpoints, signal);
      return redeemCode({ options: http, settings, endpoints, signal }, code);
    },
    async refresh(tokens, signal) {
      const endpoints = await endpointsOf(signal);
      return refreshTokens({ options: http, settings, endpoints, signal }, tokens);
    },
    async findProfile(tokens, signal) {
      const endpoints = await endpointsOf(signal);
      const profiles = await listProfiles({ options: http, endpoints, tokens, signal });
      return chooseProfile(profiles, settings);
    },
    async connect(tokens, input, signal) {
      const endpoints = await endpointsOf(signal);
      return requestConfig({ options: http, endpoints, tokens, signal }, input);
    },
    async disconnect(tokens, signal) {
      const endpoints = await endpointsOf(signal);
      await endConfigs({ options: http, endpoints, tokens, signal });
    },
  };
}

function chooseProfile(
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
