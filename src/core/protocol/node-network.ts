import type { FirewallBackend, HostChange, HostConflict } from '../net/host-rules.ts';
import type { DaemonNetwork } from './daemon.ts';

/** Whose host rules a command is about. */
export interface NetworkNode {
  readonly name: string;
  readonly scope: string;
  /** Whether its daemon runs. */
  readonly running: boolean;
}

/** Result of `v6 node network plan` and `apply`. */
export interface NetworkPlan {
  readonly node: NetworkNode;
  readonly backend: FirewallBackend;
  /** How the back end is known, one sentence each. */
  readonly evidence: readonly string[];
  readonly bridgeNfCallIptables: boolean | null;
  readonly forwardPolicy: 'accept' | 'drop' | null;
  /** What the node's wishes are known from, one sentence each. */
  readonly basis: readonly string[];
  /** True when nothing had to change. */
  readonly isUpToDate: boolean;
  readonly changes: readonly HostChange[];
  readonly conflicts: readonly HostConflict[];
}

/** Result of `v6 node network undo`: what was removed, or with a dry run what would be. */
export interface NetworkUndo {
  readonly node: NetworkNode;
  readonly isDryRun: boolean;
  readonly backend: FirewallBackend;
  /** True when nothing of the node was there. */
  readonly isEmpty: boolean;
  readonly changes: readonly HostChange[];
  readonly conflicts: readonly HostConflict[];
  /** Names. */
  readonly containers: readonly string[];
  readonly networks: readonly string[];
}

/** Result of `v6 node network show`. */
export interface NetworkView extends DaemonNetwork {
  /** False when no daemon answers: what is listed then is what stands on the host, without what only a daemon knows. */
  readonly running: boolean;
}
