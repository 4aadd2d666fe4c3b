import { V6Error } from '../../core/errors.ts';
import { TUNNEL_PORTS } from '../../core/vpn/tunnel.ts';
import type { PortLease, PortWish } from '../interfaces/run-files.ts';

type Protocol = PortWish['protocol'];

/**
 * The one allocator of tunnel ports of a node: a lease per (protocol, port), owned by a run, gone with it.
 * Its methods are synchronous, so each is atomic. The search goes round the range: a port that was given back is the last
 * one to be handed out again, so that a late packet of an old run does not meet a new one.
 */
export class PortLeases {
  readonly #owners: Record<Protocol, Map<number, number>> = { tcp: new Map(), udp: new Map() };
  readonly #first: number;
  readonly #last: number;
  #next: number;

  constructor(range: { readonly first: number; readonly last: number } = TUNNEL_PORTS) {
    this.#first = range.first;
    this.#last = range.last;
    this.#next = range.first;
  }

  /** One lease per wish, all or none. Throws V6_PORTS_EXHAUSTED. A run takes once; what it held before is kept. */
  take(run: number, wishes: readonly PortWish[]): readonly PortLease[] {
    const taken: PortLease[] = [];
    for (const wish of wishes) {
      const tunnelPort = this.#findFree(wish.protocol);
      if (tunnelPort === undefined) {
        for (const lease of taken) this.#owners[lease.protocol].delete(lease.tunnelPort);
        throw this.#exhausted(run, wish.protocol, wishes.length);
      }
      this.#owners[wish.protocol].set(tunnelPort, run);
      taken.push({ ...wish, tunnelPort });
    }
    return taken;
  }

  /** Takes exactly these leases: those of a run that outlived an earlier daemon. Throws V6_PORTS_EXHAUSTED when another run holds one. */
  adopt(run: number, leases: readonly PortLease[]): void {
    for (const { protocol, tunnelPort } of leases) {
      const owner = this.#owners[protocol].get(tunnelPort);
      if (owner !== undefined && owner !== run) {
        throw new V6Error(
          'V6_PORTS_EXHAUSTED',
          `Port ${tunnelPort}/${protocol} of run ${run} is held by run ${owner}`,
        );
      }
    }
    for (const { protocol, tunnelPort } of leases) this.#owners[protocol].set(tunnelPort, run);
  }

  /** Gives back all that the run holds; nothing held is fine. */
  release(run: number): void {
    for (const owners of Object.values(this.#owners)) {
      for (const [port, owner] of owners) if (owner === run) owners.delete(port);
    }
  }

  /** What is held now, in no order. */
  held(): readonly { readonly protocol: Protocol; readonly tunnelPort: number; run: number }[] {
    return (['tcp', 'udp'] as const).flatMap((protocol) =>
      [...this.#owners[protocol]].map(([tunnelPort, run]) => ({ protocol, tunnelPort, run })),
    );
  }

  #findFree(protocol: Protocol): number | undefined {
    const size = this.#last - this.#first + 1;
    const owners = this.#owners[protocol];
    if (owners.size >= size) return undefined;
    for (let step = 0; step < size; step += 1) {
      const port = this.#next;
      this.#next = port >= this.#last ? this.#first : port + 1;
      if (!owners.has(port)) return port;
    }
    return undefined;
  }

  #exhausted(run: number, protocol: Protocol, wanted: number): V6Error {
    return new V6Error(
      'V6_PORTS_EXHAUSTED',
      `No free ${protocol} port between ${this.#first} and ${this.#last} for run ${run}`,
      {
        hints: ['Lower max_runs of the node, or let the image EXPOSE fewer ports.'],
        details: { run, protocol, wanted, held: this.#owners[protocol].size },
      },
    );
  }
}
