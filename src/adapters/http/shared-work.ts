interface Shared<T> {
  readonly promise: Promise<T>;
  readonly stop: AbortController;
  waiting: number;
}

/** Work that is under way at most once. It goes on while anybody waits for it, and is aborted with the last who gives up. */
export class SharedWork<T> {
  #current: Shared<T> | undefined;

  /** Waits for the work that is under way, or starts it. Rejects with the signal's reason when that aborts, for this caller alone. */
  async join(
    start: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    signal?.throwIfAborted();
    const shared = (this.#current ??= this.#begin(start));
    shared.waiting += 1;
    if (signal === undefined) return shared.promise;
    return new Promise<T>((resolve, reject) => {
      const giveUp = () => {
        shared.waiting -= 1;
        if (shared.waiting === 0) {
          this.#forget(shared);
          shared.stop.abort(signal.reason);
        }
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      void shared.promise
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', giveUp));
    });
  }

  #begin(start: (signal: AbortSignal) => Promise<T>): Shared<T> {
    const stop = new AbortController();
    const shared = { promise: start(stop.signal), stop, waiting: 0 };
    const forget = () => this.#forget(shared);
    // Also the failure of work that nobody waits for any more is dealt with here.
    shared.promise.then(forget, forget);
    return shared;
  }

  #forget(shared: Shared<T>): void {
    if (this.#current === shared) this.#current = undefined;
  }
}
