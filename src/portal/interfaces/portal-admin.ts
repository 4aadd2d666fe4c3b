/** The portal process as the commands see it: over a unix socket in its run folder. */
export interface PortalAdmin {
  /** Throws V6_PORTAL_NOT_RUNNING when nothing answers. */
  report(socket: string): Promise<PortalReport>;
  /**
   * Ends the node's certificate, live session included; with `release` its address is free for others.
   * Throws V6_PORTAL_NOT_RUNNING, V6_REQUEST_NOT_FOUND.
   */
  revoke(
    socket: string,
    input: { readonly node: string; readonly release: boolean },
  ): Promise<RevokedNode>;
}

/** What the portal knows of its nodes and its VPN server. Times are ISO 8601 UTC. */
export interface PortalReport {
  readonly url: string;
  readonly subnet: string;
  /** `not answering`: its management socket is silent, so `tunnels` is not known. */
  readonly vpnServer: 'ready' | 'starting' | 'not answering';
  /** Null when the VPN server could not be asked. */
  readonly tunnels: readonly PortalTunnel[] | null;
  readonly leases: readonly PortalLease[];
}

export interface PortalTunnel {
  /** Null for a session that the portal no longer knows. */
  readonly node: string | null;
  readonly address: string;
  readonly from: string;
  readonly since: string;
  readonly bytesReceived: number;
  readonly bytesSent: number;
}

export interface PortalLease {
  readonly node: string;
  readonly address: string;
  /** End of the certificate; null when the node holds none. */
  readonly certificateEndsAt: string | null;
}

export interface RevokedNode {
  readonly node: string;
  readonly address: string;
  /** Certificates that ended: 0 or 1. */
  readonly certificates: number;
  /** Live sessions that were cut; null when the VPN server could not be asked (they end as soon as it can). */
  readonly sessionsCut: number | null;
  readonly released: boolean;
}
