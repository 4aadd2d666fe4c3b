import { V6Error } from '../errors.ts';
import { type Cidr, isIpv4 } from './ipv4.ts';

/** Where a tunnel leads, or what this host itself serves: one address, port and protocol. */
export interface HostRemote {
  readonly address: string;
  /** 1–65535 */
  readonly port: number;
  readonly protocol: 'udp' | 'tcp';
}

/** What one node needs of its host's firewall: a pure function of the node's state. */
export interface HostRules {
  /** Whose they are: `SCOPE/NAME`. */
  readonly owner: string;
  /** The network that leads the VPN client out; absent while the node has none. */
  readonly uplink?: { readonly bridge: string; readonly subnet: Cidr } | undefined;
  /** Every remote of the client config in use. */
  readonly remotes: readonly HostRemote[];
  /** Those remotes that this very host serves: all that our containers may reach on it. */
  readonly localRemotes: readonly HostRemote[];
}

/** What the engine's firewall is made with; `none`: the engine makes no rules (`"iptables": false`). */
export type FirewallBackend = 'iptables-nft' | 'iptables-legacy' | 'nftables' | 'none';

/** The parts of what we put on a host. */
export type HostRuleKind =
  | 'guard'
  | 'guard-owner'
  | 'guard-remote'
  | 'accept-chain'
  | 'accept-jump'
  | 'accept-rule'
  | 'masquerade';

/** One line of a plan. */
export interface HostChange {
  readonly action: 'add' | 'remove' | 'keep';
  readonly what: HostRuleKind;
  /** Where: `table inet v6guard`, `iptables-nft filter DOCKER-USER`. */
  readonly where: string;
  /** Why the node wants it, or why it goes; one sentence. */
  readonly why: string;
  /** The rule or element as the tool writes it. */
  readonly text: string;
}

/** Traffic of a node that somebody else's rules drop, and that no rule of ours can bring through. */
export interface HostConflict {
  /** The chain: `table inet site, chain forward`. */
  readonly where: string;
  /** Which traffic: `between an algorithm and the VPN client`, `from the VPN client to 192.0.2.1:1194/udp`. */
  readonly flow: string;
  /** The rule or policy that drops it. */
  readonly rule: string;
  /** False when a rule there could not be understood, so that it may drop. */
  readonly isCertain: boolean;
  /** What the administrator can do; commands where there are some. */
  readonly hints: readonly string[];
}

/** What would change, changed, or stays. Nothing to do: every action is `keep`. */
export interface HostPlan {
  readonly owner: string;
  readonly backend: FirewallBackend;
  readonly changes: readonly HostChange[];
  readonly conflicts: readonly HostConflict[];
}

/** What stands on a host, and what makes its firewall. */
export interface HostFirewallView {
  readonly backend: FirewallBackend;
  /** How that is known, one sentence each. */
  readonly evidence: readonly string[];
  /** Whether bridged frames go through the host's rules; null when the kernel does not have that at all. */
  readonly bridgeNfCallIptables: boolean | null;
  /** Policy of the engine's own forward chain; null where there is none. */
  readonly forwardPolicy: 'accept' | 'drop' | null;
  /** Nodes with rules here, in order. */
  readonly owners: readonly string[];
  /** All rules of ours as the tools print them; null when there are none. */
  readonly rules: string | null;
  /** Chains of others that drop traffic of our bridges, whichever node it is of, as far as that can be known. */
  readonly conflicts: readonly HostConflict[];
}

const OWNER = /^[A-Za-z0-9_.-]+\/[A-Za-z0-9_.-]+$/;

/** True for what may stand in a comment of a rule as its owner. */
export function isOwner(text: string): boolean {
  // nft takes comments of 128 bytes.
  return OWNER.test(text) && text.length <= 100;
}

/** Throws V6_FIREWALL_APPLY for words that cannot be an owner; gives it back. */
export function checkOwner(owner: string): string {
  if (isOwner(owner)) return owner;
  throw new V6Error('V6_FIREWALL_APPLY', `Not an owner of host rules: ${JSON.stringify(owner)}`);
}

/** Throws V6_FIREWALL_APPLY for words that cannot be a remote; gives it back. */
export function checkRemote(remote: HostRemote): HostRemote {
  const { address, port, protocol } = remote;
  const isGood =
    isIpv4(address) &&
    Number.isInteger(port) &&
    port >= 1 &&
    port <= 65535 &&
    (protocol === 'udp' || protocol === 'tcp');
  if (isGood) return remote;
  const text = `${address}:${port}/${protocol}`;
  throw new V6Error('V6_FIREWALL_APPLY', `Not a remote: ${JSON.stringify(text)}`);
}

/** What may stand in a rule as the name of an interface: fewer letters than Linux takes, and none that a tool reads as its own. */
const BRIDGE = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/;

/** Every word of these goes into rules. Throws V6_FIREWALL_APPLY for one that cannot; gives them back. */
export function checkRules(rules: HostRules): HostRules {
  checkOwner(rules.owner);
  for (const remote of [...rules.remotes, ...rules.localRemotes]) checkRemote(remote);
  const { uplink } = rules;
  if (uplink === undefined) return rules;
  const [address = '', prefix = ''] = uplink.subnet.split('/');
  if (BRIDGE.test(uplink.bridge) && isIpv4(address) && /^\d{1,2}$/.test(prefix)) return rules;
  const text = `${uplink.bridge} ${uplink.subnet}`;
  throw new V6Error('V6_FIREWALL_APPLY', `Not a bridge and its range: ${JSON.stringify(text)}`);
}
