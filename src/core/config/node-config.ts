import type { Cidr } from '../net/ipv4.ts';

/** A node's configuration after parsing: upstream's keys (vantage6 4.14), and ours, each marked. */
export interface NodeConfig {
  readonly apiKey: string;
  /** With protocol, without trailing slash. */
  readonly serverUrl: string;
  readonly port: number | null;
  /** `/api` or empty. */
  readonly apiPath: string;
  readonly databases: readonly DatabaseConfig[];
  readonly encrypted: boolean;
  /** Undefined when `vpn_subnet` is absent or `''`: VPN is off. */
  readonly vpnSubnet: Cidr | undefined;
  /** Ours, `isolated_range`: where slots are cut from. Default: a free /22, chosen once and stored. */
  readonly isolatedRange: Cidr | undefined;
  /** Ours, `uplink_network`: an existing network that the VPN client joins; default: one of its own. */
  readonly uplinkNetwork: string | undefined;
  /** Ours, `spare_slots`, 1–64, default 4. */
  readonly spareSlots: number;
  /** Ours, `max_runs`, 1–512, default 16: runs at once; more wait in order. */
  readonly maxRuns: number;
  readonly policies: {
    /** Exact names or regular expressions; undefined allows all. */
    readonly allowedAlgorithms: readonly string[] | undefined;
    /** Default true: a failed pull fails the run even when the image is here. */
    readonly requireAlgorithmPull: boolean;
  };
  /** `algorithm_env`: added to every algorithm's environment. */
  readonly algorithmEnv: Readonly<Record<string, string>>;
  /** Ours, `algorithm_limits`: per container. */
  readonly limits: { readonly memoryBytes: number | undefined; readonly pids: number };
  readonly shareAlgorithmLogs: boolean;
  /** `share_config`: tell the server which databases and algorithms this node offers. */
  readonly shareConfig: boolean;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

export interface DatabaseConfig {
  /** An identifier. */
  readonly label: string;
  readonly uri: string;
  readonly type: string;
}
