/** One live tunnel, as the VPN server reports it (OpenVPN management interface, `status 3`). */
export interface VpnSession {
  /** Number that the server gave to this connection; not used again while it runs. */
  readonly clientId: string;
  readonly commonName: string;
  /** Empty while the connection is being set up. */
  readonly tunnelAddress: string;
  /** Address and port that the client comes from. */
  readonly realAddress: string;
  readonly connectedAt: Date;
  readonly bytesReceived: number;
  readonly bytesSent: number;
}

/**
 * The VPN server's management socket, of which the portal is the one client. Lost connections are made again by
 * themselves. Throws V6_VPN_SERVER_UNREACHABLE when the server does not answer: no sessions and "not known" are different.
 */
export interface VpnServerControl {
  /** True when the server is up and takes clients. */
  isReady(): Promise<boolean>;
  sessions(): Promise<readonly VpnSession[]>;
  /** Ends a live session and tells its client to connect anew, where it is refused at once. Already gone is fine. */
  cut(session: Pick<VpnSession, 'clientId' | 'commonName'>): Promise<void>;
  close(): void;
}
