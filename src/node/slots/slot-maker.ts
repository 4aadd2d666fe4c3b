import type { Networks } from '../../core/engine/engine.ts';
import { isV6Error } from '../../core/errors.ts';
import { LABEL } from '../../core/labels.ts';
import type { Logger } from '../../core/logger.ts';
import type { Cidr } from '../../core/net/ipv4.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { VpnClient } from '../interfaces/vpn-client.ts';
import { type SlotOwner, slotAt, slotCapacity, slotNetwork } from './slot-plan.ts';

/** The proxy's listener of a slot: it must be there before the VPN client relays to it. */
export interface SlotListeners {
  open(index: number): Promise<void>;
  /** Listens again when somebody took its socket away; true when that was so. */
  mend(index: number): Promise<boolean>;
  close(index: number): Promise<void>;
}

export interface SlotMakerDeps {
  readonly networks: Pick<Networks, 'ensure' | 'list' | 'remove'>;
  readonly vpn: Pick<VpnClient, 'attachSlot' | 'detachSlot'>;
  readonly listeners: SlotListeners;
  readonly logger: Logger;
}

export interface SlotMakerOptions extends SlotOwner {
  readonly range: Cidr;
}

/** Makes slots and takes them down: network, listener and the VPN client's leg. Keeps no account of who uses them. */
export class SlotMaker {
  readonly #deps: SlotMakerDeps;
  readonly #options: SlotMakerOptions;
  /** Indexes whose subnet somebody else uses. */
  readonly #unusable = new Set<number>();
  /** Slots that are being taken down, or could not be. */
  readonly #leaving = new Map<number, Slot>();

  constructor(deps: SlotMakerDeps, options: SlotMakerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Slots that are still to be taken down. */
  get leaving(): readonly Slot[] {
    return [...this.#leaving.values()];
  }

  /** The lowest index that is not taken and whose subnet is free; undefined when the range is full or the signal aborts. */
  async makeNext(
    isTaken: (index: number) => boolean,
    attach: boolean,
    signal: AbortSignal,
  ): Promise<Slot | undefined> {
    const capacity = slotCapacity(this.#options.range);
    for (let index = 0; index < capacity; index += 1) {
      if (signal.aborted) return undefined;
      if (isTaken(index) || this.#leaving.has(index) || this.#unusable.has(index)) continue;
      try {
        return await this.make(index, attach);
      } catch (error) {
        if (!isV6Error(error, 'V6_NET_OVERLAP')) throw error;
        this.#unusable.add(index);
        this.#deps.logger.warn('A slot is left out: its subnet is used by another network', {
          network: slotAt(this.#options, this.#options.range, index).subnet,
          code: error.code,
        });
      }
    }
    return undefined;
  }

  /** Leaves nothing behind when it throws. */
  async make(index: number, attach: boolean): Promise<Slot> {
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
    return slot;
  }

  /** Takes a slot down; what cannot be done now is done by the next `finishLeaving`. */
  leave(slot: Slot): void {
    this.#leaving.set(slot.index, slot);
  }

  /** Never rejects. */
  async finishLeaving(): Promise<void> {
    const { vpn, listeners, networks, logger } = this.#deps;
    for (const slot of this.#leaving.values()) {
      try {
        await vpn.detachSlot(slot);
        await listeners.close(slot.index);
        await networks.remove(slot.network);
        this.#leaving.delete(slot.index);
        logger.debug('A slot that was idle was taken down', { network: slot.network });
      } catch (error) {
        logger.warn('A slot could not be taken down; trying again later', {
          network: slot.network,
          code: isV6Error(error) ? error.code : 'V6_BUG',
          error,
        });
      }
    }
  }

  /** Removes a slot's network at the end of the node; the VPN client goes by itself. */
  async remove(slot: Slot): Promise<void> {
    await this.#deps.listeners.close(slot.index);
    await this.#deps.networks.remove(slot.network);
    this.#leaving.delete(slot.index);
  }

  /**
   * Removes what an earlier daemon left in another range or beyond the first `count` slots that are not in `keep`. Returns the names
   * of the networks that stay.
   */
  async removeStrangers(keep: ReadonlySet<number>, count: number): Promise<ReadonlySet<string>> {
    const { networks } = this.#deps;
    const { scope, node, range } = this.#options;
    const ours = new Map(
      Array.from({ length: slotCapacity(range) }, (_, index) => {
        const slot = slotAt(this.#options, range, index);
        return [slot.network, slot] as const;
      }),
    );
    const kept = new Set<string>();
    const labels = { [LABEL.kind]: 'slot', [LABEL.scope]: scope, [LABEL.node]: node };
    for (const network of await networks.list(labels)) {
      const slot = ours.get(network.name);
      const fits = slot !== undefined && network.subnets.includes(slot.subnet);
      if (fits && (keep.has(slot.index) || slot.index < count)) kept.add(network.name);
      else await networks.remove(network.name);
    }
    return kept;
  }
}
