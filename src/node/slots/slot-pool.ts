import type { Clock } from '../../core/clock.ts';
import type { Networks } from '../../core/engine/engine.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import { LABEL } from '../../core/labels.ts';
import type { Logger } from '../../core/logger.ts';
import type { Cidr } from '../../core/net/ipv4.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { VpnClient } from '../interfaces/vpn-client.ts';
import { type SlotOwner, slotAt, slotCapacity, slotNetwork } from './slot-plan.ts';

/** The proxy's listener of a slot: it must be there before the VPN client relays to it. */
export interface SlotListeners {
  open(index: number): Promise<void>;
  close(index: number): Promise<void>;
}

export interface SlotPoolDeps {
  readonly networks: Pick<Networks, 'ensure' | 'list' | 'remove'>;
  readonly vpn: Pick<VpnClient, 'attachSlot' | 'detachSlot'>;
  readonly listeners: SlotListeners;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface SlotPoolOptions extends SlotOwner {
  readonly range: Cidr;
  /** Slots that stand ready ahead of need. */
  readonly spare: number;
}

export interface SlotUse {
  readonly slot: Slot;
  readonly run: number | null;
}

interface Entry {
  readonly slot: Slot;
  run: number | null;
}

const REFILL_PAUSE_MS = 5000;

/**
 * The slots of a node: some stand ready, a run takes one, and the pool is filled up again beside the run's own path. All
 * changes of the engine's networks go through one queue.
 */
export class SlotPool {
  readonly #deps: SlotPoolDeps;
  readonly #options: SlotPoolOptions;
  readonly #slots = new Map<number, Entry>();
  /** Indexes whose subnet somebody else uses. */
  readonly #unusable = new Set<number>();
  #changes: Promise<unknown> = Promise.resolve();
  #isRefilling = false;
  readonly #closing = new AbortController();

  constructor(deps: SlotPoolDeps, options: SlotPoolOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * Makes the networks for the first slots, and takes over those of runs that live on (`busy`: index → run). What an earlier
   * daemon left in another range is removed. Returns all slots, for the start of the VPN client.
   */
  async prepare(busy: ReadonlyMap<number, number>): Promise<readonly Slot[]> {
    await this.#serial(async () => {
      await this.#removeStrangers(busy);
      for (const [index, run] of busy) (await this.#create(index, false)).run = run;
      while (this.#free().length < this.#options.spare && (await this.#createNext(false)) !== null);
    });
    return [...this.#slots.values()].map(({ slot }) => slot);
  }

  /** A slot for the run: a spare one, else a new one. Throws V6_SLOTS_EXHAUSTED when the range is full. */
  async acquire(run: number): Promise<Slot> {
    const held = [...this.#slots.values()].find((entry) => entry.run === run);
    if (held !== undefined) return held.slot;
    const [spare] = this.#free();
    if (spare !== undefined) {
      spare.run = run;
      this.#refill();
      return spare.slot;
    }
    return this.#serial(async () => {
      const [late] = this.#free();
      const entry = late ?? (await this.#createNext(true));
      if (entry === null) throw this.#exhausted(run);
      entry.run = run;
      this.#refill();
      return entry.slot;
    });
  }

  /** Gives the run's slot back; none held is fine. */
  release(run: number): void {
    for (const entry of this.#slots.values()) if (entry.run === run) entry.run = null;
  }

  uses(): readonly SlotUse[] {
    return [...this.#slots.values()].map(({ slot, run }) => ({ slot, run }));
  }

  /** Removes all slots. Tries each; throws the first failure at the end. Safe to repeat. */
  async close(): Promise<void> {
    this.#closing.abort(new V6Error('V6_INTERRUPTED', 'The slots are being removed'));
    await this.#serial(async () => {
      const failures: unknown[] = [];
      for (const [index, { slot }] of this.#slots) {
        try {
          await this.#deps.listeners.close(index);
          await this.#deps.networks.remove(slot.network);
          this.#slots.delete(index);
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    });
  }

  #free(): Entry[] {
    return [...this.#slots.values()].filter(({ run }) => run === null);
  }

  #refill(): void {
    if (this.#isRefilling) return;
    this.#isRefilling = true;
    void this.#fillUp().finally(() => {
      this.#isRefilling = false;
    });
  }

  async #fillUp(): Promise<void> {
    const { logger, clock } = this.#deps;
    while (!this.#closing.signal.aborted && this.#free().length < this.#options.spare) {
      try {
        const made = await this.#serial(() => this.#createNext(true));
        if (made === null) return;
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        logger.warn('A spare slot could not be made; trying again later', {
          code: isV6Error(error) ? error.code : 'V6_BUG',
          error,
        });
        try {
          await clock.sleep(REFILL_PAUSE_MS, this.#closing.signal);
        } catch {
          return;
        }
      }
    }
  }

  /** The lowest unused index whose subnet is free; null when the range is full. */
  async #createNext(attach: boolean): Promise<Entry | null> {
    const capacity = slotCapacity(this.#options.range);
    for (let index = 0; index < capacity; index += 1) {
      if (this.#closing.signal.aborted) return null;
      if (this.#slots.has(index) || this.#unusable.has(index)) continue;
      try {
        return await this.#create(index, attach);
      } catch (error) {
        if (!isV6Error(error, 'V6_NET_OVERLAP')) throw error;
        this.#unusable.add(index);
        this.#deps.logger.warn('A slot is left out: its subnet is used by another network', {
          network: slotAt(this.#options, this.#options.range, index).subnet,
          code: error.code,
        });
      }
    }
    return null;
  }

  async #create(index: number, attach: boolean): Promise<Entry> {
    const slot = slotAt(this.#options, this.#options.range, index);
    const { networks, listeners, vpn } = this.#deps;
    await networks.ensure(slotNetwork(this.#options, slot));
    try {
      await listeners.open(index);
      if (attach) await vpn.attachSlot(slot);
    } catch (error) {
      await listeners.close(index);
      await networks.remove(slot.network);
      throw error;
    }
    const entry: Entry = { slot, run: null };
    this.#slots.set(index, entry);
    return entry;
  }

  async #removeStrangers(busy: ReadonlyMap<number, number>): Promise<void> {
    const { networks } = this.#deps;
    const { scope, node, range } = this.#options;
    const capacity = slotCapacity(range);
    const ours = new Map(
      Array.from({ length: capacity }, (_, index) => {
        const slot = slotAt(this.#options, range, index);
        return [slot.network, slot] as const;
      }),
    );
    const wanted = Math.max(this.#options.spare + busy.size, ...[...busy.keys()].map((i) => i + 1));
    const labels = { [LABEL.kind]: 'slot', [LABEL.scope]: scope, [LABEL.node]: node };
    for (const network of await networks.list(labels)) {
      const slot = ours.get(network.name);
      const fits = slot !== undefined && network.subnets.includes(slot.subnet);
      if (!fits || slot.index >= wanted) await networks.remove(network.name);
    }
  }

  #serial<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(work, work);
    this.#changes = result.catch(() => undefined);
    return result;
  }

  #exhausted(run: number): V6Error {
    const { range } = this.#options;
    return new V6Error('V6_SLOTS_EXHAUSTED', `No slot is left in ${range} for run ${run}`, {
      hints: [
        'Give isolated_range a larger network (a /22 holds 128 runs at once), or lower max_runs.',
      ],
      details: { run, range, capacity: slotCapacity(range) },
    });
  }
}
