import type {
  FirewallBackend,
  HostFirewallView,
  HostPlan,
  HostRules,
} from '../../core/net/host-rules.ts';
import type { Drift } from './drift.ts';

/**
 * The rules of our nodes on their host (design section 5, host rules): (a) the guard, which keeps containers on our bridges away
 * from the host, and (b) where somebody's rules would drop bridged VPN traffic or the tunnel, what lets it through. All nodes of
 * a host share them; each part carries its owner's mark and goes with its last owner.
 *
 * Changes of several nodes exclude each other. Every change is one atomic transaction for each tool that is needed.
 */
export interface HostFirewall {
  /** What stands on the host now; changes nothing. Throws V6_FIREWALL_READ. */
  inspect(): Promise<HostFirewallView>;
  /** What `apply` would change and why. Throws V6_FIREWALL_READ. */
  plan(wanted: HostRules): Promise<HostPlan>;
  /** What `undo` would remove. Throws V6_FIREWALL_READ. */
  planUndo(owner: string): Promise<HostPlan>;
  /** Makes `wanted` true for its owner and leaves the parts of others alone. Throws V6_FIREWALL_APPLY, V6_FIREWALL_READ. */
  apply(wanted: HostRules): Promise<HostPlan>;
  /** Removes the owner's parts, and with the last owner everything of ours. Nothing there is fine. Throws as `apply`. */
  undo(owner: string): Promise<HostPlan>;
  /** Repairs what differs from `wanted` and tells it; without differences nothing is written. Throws V6_FIREWALL_READ. */
  reconcile(wanted: HostRules): Promise<readonly Drift[]>;
  /**
   * Calls `onChange` soon after the host's rules changed near ours, or a bridge of ours went, until the signal aborts: a hint, not a
   * proof. Bursts are one call; our own changes may cause one.
   */
  watch(onChange: (hint: string, of: HostPart) => void, signal: AbortSignal): void;
  /**
   * Names of the host's network devices; undefined when the host cannot be asked now, or never had a bridge of ours: its engine
   * names them otherwise, or has them elsewhere.
   */
  links(): Promise<ReadonlySet<string> | undefined>;
  /** What this node wrote down that it put on the host, in this life or the one before; undefined: nothing. */
  recorded(): Promise<HostRulesRecord | undefined>;
  /** Lets go of the container that all this runs in; the rules stay. */
  close(): Promise<void>;
}

export type HostPart = 'rules' | 'bridges';

/** What a node has put on its host, as it wrote it down before it did; in its data folder. */
export interface HostRulesRecord {
  readonly wanted: HostRules;
  readonly backend: FirewallBackend;
  /** Tables and chains that are ours: `table inet v6guard`, `iptables-nft filter V6-FORWARD`. */
  readonly places: readonly string[];
  /** ISO 8601, UTC. */
  readonly at: string;
}

export interface HostRulesRecords {
  /** Undefined when there is none, or none that can be read. */
  find(): Promise<HostRulesRecord | undefined>;
  save(record: HostRulesRecord): Promise<void>;
  remove(): Promise<void>;
}
