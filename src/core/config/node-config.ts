import type { Cidr } from '../net/ipv4.ts';

/** A node's configuration after parsing: upstream's keys (vantage6 4.14), and ours, each marked. */
export interface NodeConfig {
  readonly apiKey: string;
  /** With protocol, without trailing slash. */
  readonly serverUrl: string;
  readonly port: number | null;
  /** `/api` or empty. */
  readonly apiPath: string;
  /** Ours, `server_ca`: absolute path of a PEM file with authorities that vouch for the server, beside the usual ones. */
  readonly serverCa?: string | undefined;
  readonly databases: readonly DatabaseConfig[];
  /** `encryption.enabled`; must be what the collaboration is. */
  readonly encrypted: boolean;
  /** The rest of `encryption`, of use when it is enabled. */
  readonly encryption: {
    /** `private_key`: absolute, or relative to the node's data folder. Default: `private_key.pem` there. */
    readonly privateKey: string | undefined;
    /** Ours, `pinned_keys`: organization id → fingerprint of its public key, given out of band. */
    readonly pinnedKeys: ReadonlyMap<number, string>;
    /** Ours, `trust_on_first_use`, default true: the first key that the server gives for an organization is trusted. */
    readonly trustOnFirstUse: boolean;
  };
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
    /** Ids of users. Both lists empty: everybody may start tasks here; else who stands in one of them. */
    readonly allowedUsers: readonly number[];
    /** Ids or exact names of the organizations that start a task. */
    readonly allowedOrganizations: readonly string[];
    /** Default true: a failed pull fails the run even when the image is here. */
    readonly requireAlgorithmPull: boolean;
    /** Ours, `read_only_root`, default false: no algorithm may write into its image's files, whatever the image says of itself. */
    readonly readOnlyRoot: boolean;
  };
  /** `algorithm_env`: added to every algorithm's environment. */
  readonly algorithmEnv: Readonly<Record<string, string>>;
  /** Ours, `algorithm_limits`: per container. */
  readonly limits: {
    readonly memoryBytes: number | undefined;
    readonly pids: number;
    /** Processors' worth of time; undefined: all there is. */
    readonly cpus: number | undefined;
  };
  readonly shareAlgorithmLogs: boolean;
  /** `share_config`: tell the server which databases and algorithms this node offers. */
  readonly shareConfig: boolean;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** Base for REST, with api path: `https://host:443/api`. */
export function serverBaseUrl({
  serverUrl,
  port,
  apiPath,
}: Pick<NodeConfig, 'serverUrl' | 'port' | 'apiPath'>): string {
  return `${serverUrl}${port === null ? '' : `:${port}`}${apiPath}`;
}

export interface DatabaseConfig {
  /** An identifier. */
  readonly label: string;
  readonly uri: string;
  readonly type: string;
}
