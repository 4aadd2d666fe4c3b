import type { Clock } from '../../core/clock.ts';
import { toV6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Drift } from '../interfaces/drift.ts';
import { Failures, type StandingFailure } from './failures.ts';

/** One part of the data plane that can be compared with what the node wants. */
export interface Check {
  /** In words for a log: `slots`. */
  readonly name: string;
  /** Compares, repairs, and tells what differed. Throws when it cannot compare. */
  run(): Promise<readonly Drift[]>;
}

export interface ReconcilerDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** In the order in which they depend on each other. */
  readonly checks: readonly Check[];
  /** What probably changed it, when something is known. */
  readonly explain?: (drift: Drift) => string | undefined;
}

export interface ReconcileReport {
  /** When the last pass ended; null before the first. */
  readonly lastCheck: Date | null;
  /** Repairs since the start of the node. */
  readonly repairs: number;
  readonly lastRepair: {
    readonly at: Date;
    readonly what: string;
    readonly trigger: string;
  } | null;
  readonly failing: readonly StandingFailure[];
}

/** A pass without any reason, ms. */
export const EVERY_MS = 30_000;
/** Reasons that come together are one pass: a burst of events, and changes of our own that are half done. */
const NOW_MS = 100;
const SOON_MS = 1000;
/** Between passes that each found something, ms: our own repairs cause events, and somebody may undo them as fast. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
const TRIGGERS_TOLD = 3;

/**
 * Keeps what stands on the host, in the engine and in the VPN client as the node wants it: on every reason to doubt it, and
 * every 30 s. One pass at a time; reasons that come meanwhile are one more pass. Each repair is told once.
 */
export class Reconciler {
  readonly #deps: ReconcilerDeps;
  readonly #failures: Failures;
  #triggers = new Set<string>();
  /** Names of the checks that are asked for; undefined: all. */
  #wanted: Set<string> | undefined = new Set();
  #dueMs = Number.POSITIVE_INFINITY;
  #notBeforeMs = 0;
  /** When all is looked at without any reason. */
  #wholeDueMs = 0;
  #pauseMs = 0;
  #nap = new AbortController();
  #isPassing = false;
  #lastCheck: Date | null = null;
  #repairs = 0;
  #lastRepair: ReconcileReport['lastRepair'] = null;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
    this.#failures = new Failures(deps);
  }

  /** True while a pass is under way: events that come now are probably ours. */
  get isPassing(): boolean {
    return this.#isPassing;
  }

  /**
   * Asks for a pass: `now` within 0.1 s, `soon` within 1 s. The trigger is for the log. `only`: the name of the one check that it
   * concerns; default: all.
   */
  request(trigger: string, urgency: 'now' | 'soon' = 'now', only?: string): void {
    this.#triggers.add(trigger);
    if (only === undefined) this.#wanted = undefined;
    else this.#wanted?.add(only);
    this.#setDue(this.#nowMs() + (urgency === 'now' ? NOW_MS : SOON_MS));
  }

  /** Passes until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    this.request('start');
    while (!signal.aborted) {
      await this.#untilDue(signal);
      if (signal.aborted) return;
      const triggers = [...this.#triggers];
      const wanted = this.#wanted;
      this.#triggers = new Set();
      this.#wanted = new Set();
      this.#dueMs = Number.POSITIVE_INFINITY;
      const isWhole = wanted === undefined || triggers.length === 0;
      await this.#passOnce(describe(triggers), isWhole ? undefined : wanted, signal);
    }
  }

  async #passOnce(
    trigger: string,
    only: ReadonlySet<string> | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const startMs = this.#nowMs();
    this.#isPassing = true;
    const isQuiet = await this.#pass(trigger, only, signal);
    this.#isPassing = false;
    const endMs = this.#nowMs();
    this.#deps.logger.debug('The network was checked', { trigger, durationMs: endMs - startMs });
    if (only === undefined) {
      this.#lastCheck = this.#deps.clock.now();
      this.#wholeDueMs = endMs + EVERY_MS;
    }
    this.#pauseMs = isQuiet ? 0 : Math.min(this.#pauseMs * 2 || FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
    this.#notBeforeMs = endMs + this.#pauseMs;
    if (isQuiet) {
      this.#setDue(this.#wholeDueMs);
      return;
    }
    // What was found is looked at once more: a repair is done when the next pass finds nothing.
    this.#wanted = undefined;
    this.#setDue(endMs + this.#pauseMs);
  }

  report(): ReconcileReport {
    return {
      lastCheck: this.#lastCheck,
      repairs: this.#repairs,
      lastRepair: this.#lastRepair,
      failing: this.#failures.standing,
    };
  }

  /** True when nothing differed. */
  async #pass(
    trigger: string,
    only: ReadonlySet<string> | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    let isQuiet = true;
    for (const check of this.#deps.checks) {
      if (signal.aborted) return true;
      if (only !== undefined && !only.has(check.name)) continue;
      try {
        const found = await check.run();
        if (signal.aborted) return true;
        for (const drift of found) this.#tell(drift, trigger, check.name);
        this.#failures.keep(check.name, found);
        isQuiet &&= found.length === 0;
      } catch (error) {
        if (signal.aborted) return true;
        this.#failures.checkFailed(check.name, toV6Error(error), trigger);
        isQuiet = false;
      }
    }
    return isQuiet;
  }

  #tell(drift: Drift, trigger: string, check: string): void {
    const { what, found, wanted, failure } = drift;
    const changedBy = drift.by ?? this.#deps.explain?.(drift) ?? 'unknown';
    if (failure !== undefined) {
      this.#failures.repairFailed(check, drift, toV6Error(failure), { trigger, changedBy });
      return;
    }
    this.#repairs += 1;
    this.#lastRepair = { at: this.#deps.clock.now(), what, trigger };
    this.#deps.logger.warn('The network was not as it must be; repaired', {
      what,
      found,
      wanted,
      changedBy,
      trigger,
    });
  }

  async #untilDue(signal: AbortSignal): Promise<void> {
    for (;;) {
      const waitMs = Math.max(this.#dueMs, this.#notBeforeMs) - this.#nowMs();
      if (waitMs <= 0 || signal.aborted) return;
      const nap = new AbortController();
      this.#nap = nap;
      await this.#deps.clock
        .sleep(waitMs, AbortSignal.any([signal, nap.signal]))
        .catch(() => undefined);
    }
  }

  #setDue(atMs: number): void {
    if (atMs >= this.#dueMs) return;
    this.#dueMs = atMs;
    this.#nap.abort(new Error('a pass is due earlier'));
  }

  #nowMs(): number {
    return this.#deps.clock.now().getTime();
  }
}

/** The first three, and how many more. */
function describe(triggers: readonly string[]): string {
  if (triggers.length === 0) return 'timer';
  const more = triggers.length - TRIGGERS_TOLD;
  const told = triggers.slice(0, TRIGGERS_TOLD).join('; ');
  return more > 0 ? `${told}; ${more} more` : told;
}
