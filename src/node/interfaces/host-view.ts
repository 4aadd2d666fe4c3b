import type { Cidr } from '../../core/net/ipv4.ts';

/** What the daemon reads of its host, without changing anything. */
export interface HostView {
  /** IPv4 routes but the default ones. Throws V6_FIREWALL_READ when they cannot be read. */
  routes(): Promise<readonly HostRoute[]>;
  /** IPv4 addresses of the host itself, loopback included. */
  addresses(): readonly string[];
  /**
   * What the name space of the process with this id on the host listens on, as `tcp/8888` and `udp/8889`, without what only
   * loopback reaches. Looks, and connects to nothing. Undefined when there is no such process.
   * Throws V6_NET_PRIVILEGE when we may not look.
   */
  listeningPorts(pid: number): Promise<ReadonlySet<string> | undefined>;
}

export interface HostRoute {
  readonly destination: Cidr;
  readonly device: string;
}

/** The ranges that a node chose for itself; kept in its data folder, so that they stay the same. */
export interface NetworkChoice {
  readonly isolatedRange: Cidr;
  /** Undefined when the node joins an existing network. */
  readonly uplinkSubnet: Cidr | undefined;
}

export interface NetworkChoiceStore {
  /** Undefined when nothing was chosen yet, or the file does not hold a choice. */
  find(): Promise<NetworkChoice | undefined>;
  save(choice: NetworkChoice): Promise<void>;
}
