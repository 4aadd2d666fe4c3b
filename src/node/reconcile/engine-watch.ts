import type { Clock } from '../../core/clock.ts';
import type { Engine, EngineEvent } from '../../core/engine/engine.ts';
import { LABEL, names } from '../../core/labels.ts';
import type { Logger } from '../../core/logger.ts';
import type { Drift } from '../interfaces/drift.ts';
import type { SlotOwner } from '../slots/slot-plan.ts';

export interface EngineWatchDeps {
  readonly engine: Pick<Engine, 'events' | 'containers'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What an event asks for: a look `now`, `soon`, or none. */
type Urgency = 'now' | 'soon' | undefined;

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;
/** Events that may explain a difference: not older than this, ms. A look follows an event within a second. */
const MEMORY_MS = 15_000;
const MEMORY_MAX = 200;
/** Ways in which a container of ours goes away or stands still. */
const LOSSES = new Set(['die', 'destroy', 'pause', 'rename', 'update']);

interface Remembered {
  readonly atMs: number;
  readonly event: EngineEvent;
  /** It came while we repaired: probably ours. */
  readonly isOwn: boolean;
}

/** Follows the engine's events about one node: asks for a look where they give a reason, and remembers who may have changed what. */
export class EngineWatch {
  readonly #deps: EngineWatchDeps;
  readonly #owner: SlotOwner;
  #memory: Remembered[] = [];
  #clientId: string | undefined;

  constructor(deps: EngineWatchDeps, owner: SlotOwner) {
    this.#deps = deps;
    this.#owner = owner;
  }

  /**
   * Calls `onReason` for events, and whenever the engine was away and is back: events of that time are lost. `isOwn` tells whether
   * what happens now is probably ours. Ends with the signal, never rejects.
   */
  async run(
    onReason: (trigger: string, urgency: 'now' | 'soon') => void,
    isOwn: () => boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { engine, clock, logger } = this.#deps;
    const labels = { [LABEL.scope]: this.#owner.scope, [LABEL.node]: this.#owner.node };
    let pauseMs = FIRST_PAUSE_MS;
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      try {
        const events = engine.events(labels, signal);
        await this.#learnClient();
        if (!isFirst) onReason('the engine was away', 'now');
        pauseMs = FIRST_PAUSE_MS;
        for await (const event of events) this.#take(event, onReason, isOwn);
      } catch (error) {
        logger.debug('The events of the engine cannot be followed', { error });
      }
      await clock.sleep(pauseMs, signal).catch(() => undefined);
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }

  /** The last event that may have brought this about, rather somebody else's than ours; undefined when there is none. */
  explain({ what, found }: Drift): string | undefined {
    const fromMs = this.#deps.clock.now().getTime() - MEMORY_MS;
    const words = new Set(what.split(' '));
    const isAboutClient = what.includes('VPN client');
    const fits = ({ atMs, event }: Remembered): boolean =>
      atMs >= fromMs &&
      (event.action === 'connect') === (found === 'connected') &&
      (words.has(event.name) || (isAboutClient && event.id === this.#clientId));
    const candidates = this.#memory.filter(fits);
    const cause = candidates.findLast(({ isOwn }) => !isOwn) ?? candidates.at(-1);
    return cause && describe(cause.event);
  }

  async #learnClient(): Promise<void> {
    const { node, scope } = this.#owner;
    const found = await this.#deps.engine.containers.find(names.vpnClient(node, scope));
    this.#clientId = found?.id;
  }

  #take(
    event: EngineEvent,
    onReason: (trigger: string, urgency: 'now' | 'soon') => void,
    isOwn: () => boolean,
  ): void {
    const isClient = event.labels[LABEL.kind] === 'vpn-client';
    if (isClient && event.action === 'start') this.#clientId = event.id;
    const urgency = this.#urgencyOf(event);
    if (urgency === undefined) return;
    const atMs = this.#deps.clock.now().getTime();
    this.#memory = [...this.#memory.slice(-MEMORY_MAX), { atMs, event, isOwn: isOwn() }];
    onReason(describe(event), urgency);
  }

  /** The end of an algorithm, and its leaving of its slot, are daily work: a look is due, and has time. */
  #urgencyOf(event: EngineEvent): Urgency {
    if (event.type === 'network') {
      if (event.action === 'destroy') return 'now';
      if (event.action === 'disconnect') return event.container === this.#clientId ? 'now' : 'soon';
      return event.action === 'connect' ? 'soon' : undefined;
    }
    if (!LOSSES.has(event.action)) return undefined;
    return event.labels[LABEL.kind] === 'algorithm' ? 'soon' : 'now';
  }
}

function describe({ type, action, name, container }: EngineEvent): string {
  const who = container === undefined ? '' : ` (container ${container.slice(0, 12)})`;
  return `engine event: ${type} ${action} ${name}${who}`;
}
