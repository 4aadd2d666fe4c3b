import type { Cidr, Ipv4 } from '../../core/net/ipv4.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { Refusal, RunNetwork } from '../../core/vpn/task-firewall.ts';
import type { TunnelOutcome, TunnelState } from '../../core/vpn/tunnel.ts';
import type { Drift } from './drift.ts';

/**
 * The container that holds the tunnel, the rules and the relays to the proxy of one node. It lives as long as the node;
 * without a tunnel (VPN off, no tun device) the same container still gives every slot its default route and its relay.
 * The implementation keeps the desired state (slots, mappings, credential) and applies all of it again whenever the
 * container or the stream to it was lost.
 */
export interface VpnClient {
  /**
   * Creates and starts the container with these slots; adopts one that already runs with the same settings. `busy`: addresses of
   * algorithms that outlived an earlier daemon; what that one had for them stays until `applyRun` or `removeRun`.
   */
  start(slots: readonly Slot[], busy?: readonly Ipv4[]): Promise<void>;
  /** Connects a slot, claims its gateway address, starts its relay. Repeating it changes nothing. */
  attachSlot(slot: Slot): Promise<void>;
  detachSlot(slot: Slot): Promise<void>;
  /** Cuts the flows and ends the calls to the proxy that the slot's last run left. Not attached is fine. */
  cleanSlot(slot: Slot): Promise<void>;
  /**
   * Makes exactly this hold for the run: its mappings, who may reach them, and whom it may reach, in one transaction. Open flows
   * that are no longer allowed are cut. Repeating it changes nothing. Throws V6_FIREWALL_APPLY; then all is as before, but for what
   * the run is no longer allowed: that is not wanted from then on, and the next change or check takes what is left of it away.
   */
  applyRun(run: number, network: RunNetwork): Promise<void>;
  /** Takes all of the run away and cuts its flows. Absent is fine. */
  removeRun(run: number, algorithm: Ipv4): Promise<void>;
  /**
   * What the task firewall refused to the algorithm at this address, and forgets it: the address is another run's next. To be
   * called when its container is gone. Most packets first.
   */
  takeRefusals(run: Pick<RunNetwork, 'algorithm' | 'mappings'>): Promise<readonly Refusal[]>;
  /**
   * Compares the client's networks, gateway addresses, relays, routes and rules with what is wanted, repairs what differs (the
   * rules in one transaction), and resolves with what differed; empty when nothing did. Throws V6_VPN_CLIENT_FAILED when the
   * container does not answer.
   */
  reconcile(): Promise<readonly Drift[]>;
  /**
   * Hands the client config (text of an .ovpn file that passed the allow-list) to openvpn and waits for a definite answer
   * or the limit. `subnet` is checked on the assigned address: V6_VPN_SUBNET_MISMATCH.
   */
  connect(
    clientConfig: string,
    options: { readonly subnet: Cidr; readonly limitMs: number; readonly signal?: AbortSignal },
  ): Promise<TunnelOutcome>;
  /** Takes the credential away and ends openvpn; slots and relays stay. */
  disconnect(): Promise<void>;
  tunnel(): TunnelState;
  /** Called on each change of the tunnel's state, and never after `close`. */
  onTunnelChange(listener: (state: TunnelState) => void): void;
  /**
   * Called when rules, addresses, routes or relays in the client may have changed: `now` when nothing of ours explains it. Never
   * after `close`.
   */
  onDisturbance(listener: (hint: string, urgency: 'now' | 'soon') => void): void;
  /** Counters of the rules and the map as they are now, for `node network show` and tests. */
  describe(): Promise<VpnClientReport>;
  /** Lets go of the container, which stays. */
  close(): Promise<void>;
  /** Removes the container. Absent is fine. */
  remove(): Promise<void>;
}

export interface VpnClientReport {
  readonly container: string;
  readonly running: boolean;
  readonly tunnel: TunnelState;
  /** Text of `nft list table inet v6client`, empty when the container does not run. */
  readonly rules: string;
  /** Packets and bytes by the name in a rule's comment, e.g. `accept-from-vpn` (new connections from peers), `kill-switch`. */
  readonly counters?: Readonly<
    Record<string, { readonly packets: number; readonly bytes: number }>
  >;
  /** Bytes since the tunnel came up; undefined when down. */
  readonly bytes?: { readonly received: number; readonly sent: number };
  /** What the task firewall refused to runs that live now, by run. */
  readonly refusals?: Readonly<Record<number, readonly Refusal[]>>;
}
