import type { Clock } from '../core/clock.ts';

/** Wrong passwords that one address may send within a minute. */
export const WRONG_TRIES_PER_MINUTE = 10;
const MINUTE_MS = 60_000;
const ADDRESSES_REMEMBERED = 10_000;

/**
 * Slows down the guessing of passwords by address, never by account: somebody who guesses cannot lock the coordination
 * server out. Right passwords are not counted and clear what the address has on its account.
 */
export class LoginLimiter {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #wrong = new Map<string, number[]>();

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  /** Seconds until this address may try again; 0 when it may now. */
  waitSeconds(address: string): number {
    const tries = this.#recent(address);
    const oldest = tries[0];
    if (oldest === undefined || tries.length < WRONG_TRIES_PER_MINUTE) return 0;
    return Math.max(1, Math.ceil((oldest + MINUTE_MS - this.#clock.now().getTime()) / 1000));
  }

  /** To be called before the password is checked, so that tries at the same time count as well. */
  addTry(address: string): void {
    const tries = this.#recent(address);
    tries.push(this.#clock.now().getTime());
    // Most recently used last; the oldest goes when there are too many.
    this.#wrong.delete(address);
    this.#wrong.set(address, tries);
    const eldest = this.#wrong.keys().next();
    if (this.#wrong.size > ADDRESSES_REMEMBERED && !eldest.done) this.#wrong.delete(eldest.value);
  }

  clear(address: string): void {
    this.#wrong.delete(address);
  }

  #recent(address: string): number[] {
    const since = this.#clock.now().getTime() - MINUTE_MS;
    return (this.#wrong.get(address) ?? []).filter((at) => at > since);
  }
}
