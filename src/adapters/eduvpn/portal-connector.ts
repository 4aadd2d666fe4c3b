import type { PortalSettings } from '../../core/config/portal-settings.ts';
import type { PortalConnector } from '../../server/interfaces/portal-connector.ts';
import { requestCode } from './authorize.ts';
import { discover, type PortalEndpoints } from './discovery.ts';
import { endConfigs, listProfiles, requestConfig } from './portal-api.ts';
import { listProfilesV2, requestConfigV2 } from './portal-api-v2.ts';
import type { PortalHttpOptions } from './portal-http.ts';
import { chooseProfile } from './profiles.ts';
import { redeemCode, refreshTokens } from './token.ts';

export interface PortalConnectorOptions {
  /** Limit of each single exchange with the portal, in ms; default 15 000. */
  readonly timeoutMs?: number;
  readonly fetch?: typeof globalThis.fetch;
}

// Discovery is to be fetched anew before each use; the calls of one use come within this time.
const DISCOVERY_LIFE_MS = 30_000;

/**
 * Talks to an eduVPN portal, with API v3 where it has that and else with v2, or to ours. Nothing is contacted before the
 * first call.
 */
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
    async api(signal) {
      return (await endpointsOf(signal)).version;
    },
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
      const list = endpoints.version === 'v3' ? listProfiles : listProfilesV2;
      return chooseProfile(await list({ options: http, endpoints, tokens, signal }), settings);
    },
    async connect(tokens, input, signal) {
      const endpoints = await endpointsOf(signal);
      const request = endpoints.version === 'v3' ? requestConfig : requestConfigV2;
      return request({ options: http, endpoints, tokens, signal }, input);
    },
    async limit(signal) {
      const { maxConfigurations } = settings;
      const limit = maxConfigurations ?? (await endpointsOf(signal)).maxConfigurations;
      return limit === 0 ? undefined : limit;
    },
    async disconnect(tokens, signal) {
      const endpoints = await endpointsOf(signal);
      // API v2 has no such call: a keypair stays valid until its end, and no number of them is too many.
      if (endpoints.version === 'v2') return;
      await endConfigs({ options: http, endpoints, tokens, signal });
    },
  };
}
