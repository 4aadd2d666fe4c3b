/** The static rules on the host that keep containers on our bridges away from the host (design section 5, host rules (a)). */
export interface HostGuard {
  /** Applies the guard in one atomic batch; repeating it changes nothing. Throws V6_FIREWALL_APPLY. `vpnServerPorts` stay open where the VPN server is on this host. */
  apply(input: HostGuardInput): Promise<void>;
  /** Removes the guard when no other node of ours uses it. Absent is fine. */
  remove(owner: string): Promise<void>;
  /** The rules as text as they stand on the host now; undefined when there are none. Throws V6_FIREWALL_READ when they cannot be read. */
  show(): Promise<string | undefined>;
}

export interface HostGuardInput {
  /** Who needs the guard, e.g. `user/alpha`. */
  readonly owner: string;
  /** Ports of remotes that this host itself serves, as `address:port/protocol`. */
  readonly localRemotes: readonly {
    readonly address: string;
    readonly port: number;
    readonly protocol: 'udp' | 'tcp';
  }[];
}
