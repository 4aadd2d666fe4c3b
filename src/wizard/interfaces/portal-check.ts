import type { PortalSettings } from '../../core/config/portal-settings.ts';

/** What a check of the portal found. */
export interface CheckedPortal {
  /** Id of the profile that the nodes will use. */
  readonly profile: string;
}

/** Tries settings out against the portal that they name. */
export interface PortalCheck {
  /**
   * Logs in as the server will, up to the list of profiles. Never asks for a client config: that would take one away from a
   * node. Throws V6_PORTAL_*; V6_PORTAL_SEVERAL_PROFILES has the ids in `details.offered`.
   */
  check(settings: PortalSettings, signal?: AbortSignal): Promise<CheckedPortal>;
}
