import type { Clock } from '../../core/clock.ts';
import type { ErrorCode, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Drift } from '../interfaces/drift.ts';

export interface StandingFailure {
  readonly what: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly since: Date;
}

interface Held {
  readonly check: string;
  readonly failure: StandingFailure;
}

/** What could not be checked or repaired: told when it begins, when its cause changes and when it is over; not each time. */
export class Failures {
  readonly #deps: { readonly clock: Clock; readonly logger: Logger };
  /** By what they are about. */
  readonly #held = new Map<string, Held>();

  constructor(deps: { readonly clock: Clock; readonly logger: Logger }) {
    this.#deps = deps;
  }

  get standing(): readonly StandingFailure[] {
    return [...this.#held.values()].map(({ failure }) => failure);
  }

  /** A whole check did not work: what it found before still stands. */
  checkFailed(check: string, error: V6Error, trigger: string): void {
    if (!this.#hold(`check of ${check}`, check, error)) return;
    const told = { what: check, trigger, code: error.code, error };
    this.#deps.logger.warn('The network could not be checked; trying again', told);
  }

  /** One repair of a check did not work. */
  repairFailed(
    check: string,
    { what, found, wanted }: Drift,
    error: V6Error,
    more: { readonly trigger: string; readonly changedBy: string },
  ): void {
    if (!this.#hold(what, check, error)) return;
    this.#deps.logger.warn('The network is not as it must be; repairing it failed, trying again', {
      what,
      found,
      wanted,
      ...more,
      code: error.code,
      error,
    });
  }

  /** A check worked, and all that it found has been told: of its failures those stand that it found again. */
  keep(check: string, found: readonly Drift[]): void {
    const failed = new Set(
      found.filter(({ failure }) => failure !== undefined).map(({ what }) => what),
    );
    for (const [what, held] of this.#held) {
      if (held.check !== check || failed.has(what)) continue;
      this.#held.delete(what);
      this.#deps.logger.info('The network is as it must be again', { what });
    }
  }

  /** True when there is something new to tell. */
  #hold(what: string, check: string, { code, message }: V6Error): boolean {
    const before = this.#held.get(what)?.failure;
    const since = before?.since ?? this.#deps.clock.now();
    this.#held.set(what, { check, failure: { what, code, message, since } });
    return before?.code !== code;
  }
}
