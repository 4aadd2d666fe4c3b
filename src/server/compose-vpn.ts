import { createPortalConnector } from '../adapters/eduvpn/portal-connector.ts';
import { systemClock } from '../core/clock.ts';
import type { PortalSettings } from '../core/config/portal-settings.ts';
import { V6Error } from '../core/errors.ts';
import { silentLogger } from '../core/logger.ts';
import { type OpenAdminInput, readServerConfig, withServerAdmin } from './compose-admin.ts';
import type { PortalConnector } from './interfaces/portal-connector.ts';
import type { Store } from './interfaces/store.ts';
import { createVpnService, type VpnService } from './services/vpn.ts';

/** What the commands about the VPN of a server work with, beside a server that runs or without one. */
export interface VpnAdmin {
  readonly settings: PortalSettings;
  readonly portal: PortalConnector;
  readonly vpn: VpnService;
  readonly store: Store;
}

/** Opens database and portal for `work`. Throws V6_VPN_OFF where the configuration has no `vpn_server`, and as withServerAdmin. */
export function withVpnAdmin<T>(
  input: OpenAdminInput,
  work: (admin: VpnAdmin) => Promise<T>,
): Promise<T> {
  return withServerAdmin(input, async ({ config, store, keys }) => {
    const settings = settingsOf(config.vpn, input.context.configFile);
    const portal = createPortalConnector(settings);
    const vpn = createVpnService({
      store,
      portal,
      clock: systemClock,
      logger: silentLogger,
      key: keys.vpnTokens,
      leaseGraceMs: config.vpnLeaseGraceMs,
    });
    return work({ settings, portal, vpn, store });
  });
}

/** The portal's settings, and a connector to it; the database stays closed. Throws V6_VPN_OFF, V6_CONFIG_*. */
export async function readPortal(
  input: OpenAdminInput,
): Promise<{ readonly settings: PortalSettings; readonly portal: PortalConnector }> {
  const settings = settingsOf((await readServerConfig(input)).vpn, input.context.configFile);
  return { settings, portal: createPortalConnector(settings) };
}

function settingsOf(vpn: PortalSettings | undefined, file: string): PortalSettings {
  if (vpn !== undefined) return vpn;
  throw new V6Error('V6_VPN_OFF', `${file} names no VPN portal`, {
    hints: ['Name one: v6 server vpn configure'],
    details: { file },
  });
}
