import type { ErrorCode } from '../errors.ts';
import type { Ipv4 } from '../net/ipv4.ts';

/** Where a remote of a client config leads: already resolved, because the client's filter allows no DNS. */
export interface Remote {
  readonly address: Ipv4;
  /** 1–65535 */
  readonly port: number;
  readonly protocol: 'udp' | 'tcp';
}

/** A failed tunnel: one code of the V6_VPN_ area, a sentence with the evidence, what to do next. */
export interface TunnelFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hints: readonly string[];
  /** True when trying the same file again cannot help: the ladder leaves the rung at once. */
  readonly definite: boolean;
}

/** The tunnel of one node. */
export type TunnelState =
  | { readonly kind: 'off' }
  | { readonly kind: 'connecting'; readonly since: Date; readonly lastFailure?: TunnelFailure }
  | {
      readonly kind: 'connected';
      readonly since: Date;
      readonly address: Ipv4;
      readonly remote?: string;
    }
  | { readonly kind: 'failed'; readonly since: Date; readonly failure: TunnelFailure };

/** What one attempt with one file ended in. */
export type TunnelOutcome =
  | { readonly ok: true; readonly address: Ipv4 }
  | { readonly ok: false; readonly failure: TunnelFailure };

/** Tunnel port → algorithm: intent, carried out by the VPN client's map. */
export interface PortMapping {
  readonly protocol: 'tcp' | 'udp';
  /** On the node's tunnel address, 49152–65534. */
  readonly tunnelPort: number;
  /** The algorithm container's address on its slot. */
  readonly address: Ipv4;
  /** In the container, 1–65535. */
  readonly port: number;
  readonly label: string | null;
}

/** First and last tunnel port (vantage6 4.14 node/docker/vpn_manager.py: 49152 to 65534, the end included by us). */
export const TUNNEL_PORTS = { first: 49152, last: 65534 } as const;
