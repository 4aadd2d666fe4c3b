import type { Clock } from '../../core/clock.ts';
import type { Containers, Networks } from '../../core/engine/engine.ts';
import { isV6Error, toV6Error, V6Error } from '../../core/errors.ts';
import { names } from '../../core/labels.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { Drift } from '../interfaces/drift.ts';
import type { VpnClient } from '../interfaces/vpn-client.ts';
import type { HostLinks } from './host-links.ts';
import { checkSlotNetwork, viewSlots } from './slot-check.ts';
import { SlotMaker, type SlotMakerDeps, type SlotMakerOptions } from './slot-maker.ts';
import { slotCapacity, slotNetwork } from './slot-plan.ts';

export interface SlotPoolDeps extends SlotMakerDeps {
  readonly networks: Pick<
    Networks,
    'ensure' | 'find' | 'list' | 'remove' | 'connect' | 'disconnect'
  >;
  readonly containers: Pick<Containers, 'list'>;
  readonly vpn: Pick<VpnClient, 'attachSlot' | 'detachSlot' | 'cleanSlot'>;
  readonly hostLinks: HostLinks;
  readonly clock: Clock;
  /** Told when a spare slot turned out to be damaged: a check of all of them is due. */
  readonly onDamage?: (what: string) => void;
}

export interface SlotPoolOptions extends SlotMakerOptions {
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
  /** Something of an earlier run may be left. */
  isDirty: boolean;
  /** False when the VPN client could not be connected. */
  isAttached: boolean;
  idleSinceMs: number;
}

const REFILL_PAUSE_MS = 5000;
/**
 * A slot beyond the spare ones goes when it was idle for so long: each costs a restart of the VPN client about 0.1 s, and making
 * it again 0.2 s, so that a network whose runs come every few minutes keeps its slots.
 */
export const SURPLUS_IDLE_MS = 300_000;

/**
 * The slots of a node: some stand ready, a run takes one, and the pool is filled up again beside the run's own path; what was
 * idle for long is taken down. All changes of the engine's networks go through one queue.
 */
export class SlotPool {
  readonly #deps: SlotPoolDeps;
  readonly #options: SlotPoolOptions;
  readonly #maker: SlotMaker;
  readonly #slots = new Map<number, Entry>();
  #changes: Promise<unknown> = Promise.resolve();
  #isRefilling = false;
  readonly #closing = new AbortController();

  constructor(deps: SlotPoolDeps, options: SlotPoolOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#maker = new SlotMaker(deps, options);
  }

  /**
   * Makes the networks for the first slots, and takes over those of runs that live on (`busy`: index → run). What an earlier
   * daemon left in another range is removed. Returns all slots, for the start of the VPN client.
   */
  async prepare(busy: ReadonlyMap<number, number>): Promise<readonly Slot[]> {
    await this.#serial(async () => {
      const count = this.#options.spare + busy.size;
      const kept = await this.#maker.removeStrangers(new Set(busy.keys()), count);
      for (const [index, run] of busy) this.#add(await this.#maker.make(index, false)).run = run;
      while (
        this.#free().length < this.#options.spare &&
        (await this.#addNext(false)) !== undefined
      );
      // Nobody knows how the run before left it.
      for (const entry of this.#slots.values()) entry.isDirty = kept.has(entry.slot.network);
    });
    return [...this.#slots.values()].map(({ slot }) => slot);
  }

  /**
   * A slot for the run: a spare one, else a new one. A spare one that somebody damaged is passed over, and mended beside the run's
   * path. Throws V6_SLOTS_EXHAUSTED when the range is full.
   */
  async acquire(run: number): Promise<Slot> {
    const held = [...this.#slots.values()].find((entry) => entry.run === run);
    if (held !== undefined) return held.slot;
    const damaged: Entry[] = [];
    for (const spare of this.#free()) {
      // Others look meanwhile: it is taken before it is looked at.
      if (!this.#isFree(spare) || spare.isDirty || !spare.isAttached) continue;
      spare.run = run;
      if (await this.#isWhole(spare.slot)) {
        for (const entry of damaged) entry.run = null;
        this.#refill();
        return spare.slot;
      }
      damaged.push(spare);
      this.#deps.onDamage?.(`spare slot ${spare.slot.network}`);
    }
    for (const entry of damaged) entry.run = null;
    return this.#serial(() => this.#acquireSlowly(run));
  }

  /** Gives the run's slot back; none held is fine. It is cleaned before the next run gets it. */
  release(run: number): void {
    for (const entry of this.#slots.values()) {
      if (entry.run !== run) continue;
      entry.run = null;
      entry.isDirty = true;
      entry.idleSinceMs = this.#deps.clock.now().getTime();
      void this.#serial(() => this.#clean(entry));
    }
  }

  /**
   * Compares every slot with what the engine has, and repairs what differs; cleans, takes down what was idle for long, and fills
   * up. Throws V6_ENGINE_* when the engine cannot be asked.
   */
  reconcile(): Promise<readonly Drift[]> {
    return this.#serial(async () => {
      const drift: Drift[] = [];
      if (this.#closing.signal.aborted) return drift;
      const view = await viewSlots(this.#deps, this.#options);
      for (const entry of this.#slots.values()) {
        drift.push(...(await checkSlotNetwork(this.#deps, this.#options, entry, view)));
        drift.push(...(await this.#mendListener(entry.slot)));
        if (!entry.isAttached) await this.#attach(entry).catch(() => undefined);
      }
      for (const entry of this.#free()) await this.#clean(entry);
      this.#dropSurplus();
      await this.#maker.finishLeaving();
      this.#refill();
      return drift;
    });
  }

  uses(): readonly SlotUse[] {
    return [...this.#slots.values()].map(({ slot, run }) => ({ slot, run }));
  }

  /** Removes all slots. Tries each; throws the first failure at the end. Safe to repeat. */
  async close(): Promise<void> {
    this.#closing.abort(new V6Error('V6_INTERRUPTED', 'The slots are being removed'));
    await this.#serial(async () => {
      const failures: unknown[] = [];
      const slots = [...this.#slots.values()].map(({ slot }) => slot);
      for (const slot of [...slots, ...this.#maker.leaving]) {
        try {
          await this.#maker.remove(slot);
          this.#slots.delete(slot.index);
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    });
  }

  /** Asked again after every wait: another run may have it by now, or it was taken down. */
  #isFree(entry: Entry): boolean {
    return entry.run === null && this.#slots.get(entry.slot.index) === entry;
  }

  /** Those without a run, the lowest first: the highest ones stay idle and go. */
  #free(): Entry[] {
    return [...this.#slots.values()]
      .filter(({ run }) => run === null)
      .toSorted((a, b) => a.slot.index - b.slot.index);
  }

  async #acquireSlowly(run: number): Promise<Slot> {
    for (const entry of this.#free()) {
      if (!this.#isFree(entry)) continue;
      entry.run = run;
      try {
        await this.#mend(entry);
        this.#refill();
        return entry.slot;
      } catch (error) {
        entry.run = null;
        this.#warn('A slot cannot be used; taking another', entry.slot, error);
      }
    }
    const entry = await this.#addNext(true);
    if (entry === undefined) throw this.#exhausted(run);
    entry.run = run;
    this.#refill();
    return entry.slot;
  }

  async #mend(entry: Entry): Promise<void> {
    await this.#deps.networks.ensure(slotNetwork(this.#options, entry.slot));
    await this.#attach(entry);
    if (entry.isDirty) await this.#deps.vpn.cleanSlot(entry.slot);
    entry.isDirty = false;
  }

  async #mendListener({ index, network }: Slot): Promise<readonly Drift[]> {
    const told = { what: `proxy socket of slot ${network}`, found: 'missing', wanted: 'there' };
    try {
      return (await this.#deps.listeners.mend(index)) ? [told] : [];
    } catch (error) {
      return [{ ...told, failure: toV6Error(error) }];
    }
  }

  async #attach(entry: Entry): Promise<void> {
    entry.isAttached = false;
    await this.#deps.vpn.attachSlot(entry.slot);
    entry.isAttached = true;
  }

  /** True when a run can begin there now. One question to the engine, a few milliseconds. */
  async #isWhole(slot: Slot): Promise<boolean> {
    const { node, scope } = this.#options;
    const network = await this.#deps.networks.find(slot.network).catch(() => undefined);
    return network?.containers[names.vpnClient(node, scope)] === slot.client;
  }

  async #clean(entry: Entry): Promise<void> {
    if (this.#closing.signal.aborted || entry.run !== null || !entry.isDirty) return;
    try {
      await this.#deps.vpn.cleanSlot(entry.slot);
      entry.isDirty = false;
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#warn('A slot could not be cleaned; no run gets it until it is', entry.slot, error);
    }
  }

  #dropSurplus(): void {
    const nowMs = this.#deps.clock.now().getTime();
    for (const { slot, idleSinceMs } of this.#free().slice(this.#options.spare)) {
      if (nowMs - idleSinceMs < SURPLUS_IDLE_MS) continue;
      // From here on no run can take it.
      this.#slots.delete(slot.index);
      this.#maker.leave(slot);
    }
  }

  #refill(): void {
    if (this.#isRefilling || this.#closing.signal.aborted) return;
    this.#isRefilling = true;
    void this.#fillUp().finally(() => {
      this.#isRefilling = false;
    });
  }

  async #fillUp(): Promise<void> {
    const { logger, clock } = this.#deps;
    while (!this.#closing.signal.aborted && this.#free().length < this.#options.spare) {
      try {
        const made = await this.#serial(async () =>
          // A run may have ended while this waited for its turn.
          this.#free().length < this.#options.spare ? this.#addNext(true) : undefined,
        );
        if (made === undefined) return;
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

  async #addNext(attach: boolean): Promise<Entry | undefined> {
    const isTaken = (index: number): boolean => this.#slots.has(index);
    const slot = await this.#maker.makeNext(isTaken, attach, this.#closing.signal);
    return slot && this.#add(slot);
  }

  #add(slot: Slot): Entry {
    const idleSinceMs = this.#deps.clock.now().getTime();
    const entry: Entry = { slot, run: null, isDirty: false, isAttached: true, idleSinceMs };
    this.#slots.set(slot.index, entry);
    return entry;
  }

  #serial<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(work, work);
    this.#changes = result.catch(() => undefined);
    return result;
  }

  #warn(message: string, slot: Slot, error: unknown): void {
    const code = isV6Error(error) ? error.code : 'V6_BUG';
    this.#deps.logger.warn(message, { network: slot.network, code, error });
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
