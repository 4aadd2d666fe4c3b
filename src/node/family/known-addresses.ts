import type { Clock } from '../../core/clock.ts';
import type { FamilyRun } from '../interfaces/coordinator.ts';

/** A node whose tunnel is down for shorter than this keeps its permissions, ms: its connections go on when it is back. */
export const ABSENCE_MS = 60_000;

/**
 * Tunnel addresses of nodes, for a while also of those that have none just now: a tunnel that comes back mostly has the address
 * that it had, and the connections over it would go on. An address that another node has meanwhile is that node's.
 */
export class KnownAddresses {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #known = new Map<number, { readonly address: string; readonly seenAt: number }>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** The address of a run's node, the present one or that of before; null when there is none. */
  addressOf({ node, address }: Pick<FamilyRun, 'node' | 'address'>): string | null {
    const now = this.#clock.now().getTime();
    this.#forget(now);
    if (address === null) return (node !== undefined && this.#known.get(node)?.address) || null;
    for (const [other, known] of this.#known)
      if (known.address === address && other !== node) this.#known.delete(other);
    if (node !== undefined) this.#known.set(node, { address, seenAt: now });
    return address;
  }

  #forget(now: number): void {
    for (const [node, { seenAt }] of this.#known)
      if (now - seenAt > ABSENCE_MS) this.#known.delete(node);
  }
}
