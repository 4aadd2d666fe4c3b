import type { Ipv4 } from '../../core/net/ipv4.ts';
import type { Destination, RunNetwork } from '../../core/vpn/task-firewall.ts';
import { destinationKey, type FamilyOf, type FamilyReading } from './family-reading.ts';

/** Of one run at most: what a table must hold has to end somewhere. */
export const DESTINATIONS_MAX = 4096;
export const PEERS_MAX = 1024;

export const NOBODY: FamilyReading = { peers: [], destinations: [], children: [], strangers: [] };

/** What a run holds on its own node. */
export interface LocalRun extends FamilyOf {
  readonly run: number;
  readonly algorithm: Ipv4;
  readonly mappings: RunNetwork['mappings'];
}

/** One live run of ours, with what is known of its family. */
export class FamilyMember {
  readonly local: LocalRun;
  #reading = NOBODY;
  /** Undefined: not read yet. */
  #readAt: number | undefined;
  /** From answers to the algorithm that are newer than the reading. */
  #learned = new Map<string, { readonly destination: Destination; readonly at: number }>();
  /** Destinations that the rules have. */
  #applied: ReadonlySet<string> = new Set();
  hasLeft = false;
  /** Readings that the algorithm's own questions cause, one after the other. */
  confirmations: Promise<void> = Promise.resolve();
  /** The one that has not begun. */
  nextConfirmation: Promise<void> | undefined;
  isDirty = true;
  hasWarned = false;

  constructor(local: LocalRun) {
    this.local = local;
  }

  get children(): readonly number[] {
    return this.#reading.children;
  }

  /** A reading that began at `at` (a number that only grows): it knows better than all answers and readings before. */
  take(reading: FamilyReading, at: number): void {
    if (this.#readAt !== undefined && at < this.#readAt) return;
    this.#readAt = at;
    this.#reading = reading;
    this.#learned = new Map([...this.#learned].filter(([, learned]) => learned.at >= at));
  }

  learn(destinations: readonly Destination[], at: number): void {
    for (const destination of destinations)
      this.#learned.set(destinationKey(destination), { destination, at });
  }

  /** The rules have this now. */
  applied(network: RunNetwork): void {
    this.#applied = new Set(network.destinations.map(destinationKey));
  }

  /** The rules may lack by now what is not in this: taking it away may have been all that was done. */
  notApplied(network: RunNetwork): void {
    const wanted = new Set(network.destinations.map(destinationKey));
    this.#applied = new Set([...this.#applied].filter((key) => wanted.has(key)));
  }

  /** True when it is wanted, and the rules have it. */
  isAllowed(destination: Destination): boolean {
    const key = destinationKey(destination);
    if (!this.#applied.has(key)) return false;
    return (
      this.#learned.has(key) ||
      this.#reading.destinations.some((known) => destinationKey(known) === key)
    );
  }

  /** True when not all of the family fits into the rules. */
  get isOverfull(): boolean {
    return this.#all().length > DESTINATIONS_MAX || this.#reading.peers.length > PEERS_MAX;
  }

  network(): RunNetwork {
    const { task, parent, algorithm, mappings } = this.local;
    return {
      task,
      parent,
      algorithm,
      mappings,
      peers: this.#reading.peers.slice(0, PEERS_MAX),
      destinations: this.#all().slice(0, DESTINATIONS_MAX),
      ...(this.#readAt === undefined ? { isUnread: true } : {}),
    };
  }

  #all(): readonly Destination[] {
    const learned = [...this.#learned].map(([key, { destination }]) => [key, destination] as const);
    const read = this.#reading.destinations.map((one) => [destinationKey(one), one] as const);
    return [...new Map([...read, ...learned]).values()];
  }
}
