import type { ErrorCode } from '../errors.ts';
import type { HostFirewallView } from '../net/host-rules.ts';
import type { Destination, Refusal } from '../vpn/task-firewall.ts';

/**
 * What the CLI asks a running node daemon: HTTP/1.1 with JSON over the unix socket `daemon.sock` in the node's run folder.
 *
 *   GET  /status        → DaemonStatus
 *   GET  /verdict       → Verdict; answers when the ladder has one, or after `?waitMs=` (0–120000) with what is known
 *   GET  /vpn           → DaemonVpn
 *   POST /vpn/renew     → Verdict of a ladder that starts at the renewal rung; body `{"force": bool}`
 *   POST /vpn/disconnect → Verdict: the tunnel ends and stays so, the credential is kept
 *   POST /vpn/release   → Verdict: as disconnect, and the lease is given back
 *   POST /vpn/connect   → Verdict of a ladder that starts at the first rung
 *   GET  /network       → DaemonNetwork
 */
export const DAEMON_SOCKET = 'daemon.sock';

export type Rung = 'existing' | 'renew' | 'new' | 'without';

/** How the credential ladder ended, or where it stands. */
export interface Verdict {
  /** `off`: vpn_subnet is empty. `trying`: no answer yet. `disconnected`: somebody asked for it. */
  readonly state: 'connected' | 'without' | 'off' | 'trying' | 'disconnected';
  readonly rung: Rung | null;
  readonly vpnAddress: string | null;
  /** Portal calls that this ladder made through the server: 0 when the existing file worked. */
  readonly portalCalls: number;
  readonly warning: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly hints: readonly string[];
  } | null;
  /** One line per rung that was tried, with what it ended in. */
  readonly steps: readonly { readonly rung: Rung; readonly outcome: string }[];
}

/** How the keys of an encrypted collaboration stand. */
export interface KeyRingStatus {
  /** SHA-256 of the own public key, hex. */
  readonly fingerprint: string;
  /** `replaced`: the server has another key for this organization, or none any more. */
  readonly ownKey: 'registered' | 'replaced';
  /** Organizations whose key was refused since the start, each with the last reason. */
  readonly refused: readonly {
    readonly organization: number;
    readonly name: string;
    readonly code: ErrorCode;
    readonly message: string;
  }[];
}

/**
 * How far a tunnel is known to carry: `tunnel` has an address, `data` got packets of the VPN server, `peer` got packets of
 * another node's algorithm.
 */
export type TunnelLevel = 'none' | 'tunnel' | 'data' | 'peer';

export interface DaemonVpn extends Verdict {
  readonly level: TunnelLevel;
  readonly connectedSince: string | null;
  /** Address, port and protocol of the VPN server. */
  readonly remote: string | null;
  /** Since the tunnel came up. */
  readonly bytes: { readonly received: number; readonly sent: number } | null;
  readonly certificateExpiresAt: string | null;
  /** When the node asks for the next credential by itself. */
  readonly renewsAt: string | null;
  /** The last failure of tunnel or ladder since the start of the daemon, also when all is well again. */
  readonly lastError: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly at: string;
  } | null;
}

/** How the checks of slots, VPN client and host rules stand. */
export interface DaemonNetworkChecks {
  /** Null until the first one has ended. */
  readonly lastCheck: string | null;
  /** Since the start of the daemon. */
  readonly repairs: number;
  readonly lastRepair: {
    readonly at: string;
    readonly what: string;
    /** Why it was looked at. */
    readonly trigger: string;
  } | null;
  /** What cannot be checked or repaired now; it is tried again. */
  readonly failing: readonly {
    readonly what: string;
    readonly code: ErrorCode;
    readonly message: string;
    readonly since: string;
  }[];
}

/** A run that waits for its turn. */
export interface DaemonQueueEntry {
  readonly run: number;
  readonly task: number;
  /** 1 is the next. */
  readonly position: number;
  /** What it waits for, in words. */
  readonly reason: string;
}

export interface DaemonStatus {
  readonly node: {
    readonly id: number;
    readonly name: string;
    readonly organization: number;
    readonly collaboration: number;
  };
  readonly pid: number;
  readonly startedAt: string;
  readonly server: { readonly url: string; readonly connected: boolean };
  readonly vpn: Verdict & {
    readonly certificateExpiresAt: string | null;
    readonly connectedSince: string | null;
  };
  /** Null in a collaboration without encryption. */
  readonly encryption: KeyRingStatus | null;
  /** Whether algorithms outlive a restart of the container engine (its option `live-restore`). */
  readonly engine: { readonly version: string; readonly liveRestore: boolean } | null;
  readonly slots: { readonly total: number; readonly busy: number };
  readonly runs: readonly {
    readonly run: number;
    readonly task: number;
    readonly image: string;
    readonly state: string;
    readonly since: string;
  }[];
  readonly queued: number;
  /** The runs that wait, in order; absent in daemons of an earlier version. */
  readonly queue?: readonly DaemonQueueEntry[];
  /** Absent in daemons of an earlier version. */
  readonly network?: DaemonNetworkChecks;
}

/** Who may reach a run from the VPN, and whom it may reach there. */
export interface DaemonRunNetwork {
  readonly run: number;
  readonly task: number;
  /** Where the run listens: on the node's tunnel address. */
  readonly ports: readonly {
    readonly label: string | null;
    readonly protocol: 'tcp' | 'udp';
    /** In the container. */
    readonly port: number;
    readonly tunnelPort: number;
  }[];
  /** VPN addresses of the nodes that may open flows to these ports. */
  readonly peers: readonly string[];
  /** What the run may open flows to. */
  readonly destinations: readonly Destination[];
}

export interface DaemonNetwork {
  readonly uplink: string;
  readonly slots: readonly {
    readonly network: string;
    readonly subnet: string;
    readonly bridge: string;
    readonly run: number | null;
  }[];
  readonly vpnClient: {
    readonly container: string;
    readonly running: boolean;
    readonly rules: string;
  };
  /** What the task firewall lets through for runs that live now; absent in daemons of an earlier version. */
  readonly runs?: readonly DaemonRunNetwork[];
  /** What the task firewall refused to runs that live now; absent in daemons of an earlier version. */
  readonly refusals?: readonly (Refusal & { readonly run: number })[];
  /** Rules of ours on the host; null when there are none. */
  readonly hostRules: string | null;
  /** What makes the host's firewall, and what in it drops our traffic; null when the daemon does not say. */
  readonly host: HostFirewallView | null;
}
