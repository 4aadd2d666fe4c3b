import type { Cidr, Ipv4 } from '../net/ipv4.ts';

/** A small network made for one run at a time. Layout of its /29: .1 claimed by the VPN client (default route of the algorithm), .2 the VPN client's own, .3 the algorithm. */
export interface Slot {
  readonly index: number;
  /** Name of the engine's network, `v6z-SCOPE-NODE-INDEX`. */
  readonly network: string;
  readonly bridge: string;
  readonly subnet: Cidr;
  readonly gateway: Ipv4;
  readonly client: Ipv4;
  readonly algorithm: Ipv4;
}
