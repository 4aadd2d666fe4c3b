/** What decides about a run's turn. */
export interface QueueEntry {
  readonly run: number;
  readonly task: number;
  /** Parent task, null for a task of a user. */
  readonly parent: number | null;
}

/**
 * Runs in the order they came in. At most `maxRuns` are active; a run whose parent task is alive does not wait for that
 * limit, because a parent that waits for its children would wait for ever.
 */
export class RunQueue<T extends QueueEntry> {
  #waiting: readonly T[] = [];
  readonly #active = new Map<number, T>();
  readonly #maxRuns: number;

  constructor(maxRuns: number) {
    this.#maxRuns = maxRuns;
  }

  /** Adds a run at the end; one that waits or is active already is left where it is. */
  add(entry: T): boolean {
    if (this.has(entry.run)) return false;
    this.#waiting = [...this.#waiting, entry];
    return true;
  }

  has(run: number): boolean {
    return this.#active.has(run) || this.#waiting.some((entry) => entry.run === run);
  }

  /**
   * Moves those whose turn it is to the active ones and returns them in order. `isAlive` says whether a task outside this
   * node is known to have a run alive.
   */
  takeReady(isAlive: (task: number) => boolean): readonly T[] {
    const ready: T[] = [];
    for (const entry of this.#waiting) {
      const exempt =
        entry.parent !== null && (this.#hasActive(entry.parent) || isAlive(entry.parent));
      if (!exempt && this.#active.size >= this.#maxRuns) continue;
      this.#active.set(entry.run, entry);
      ready.push(entry);
    }
    this.#waiting = this.#waiting.filter((entry) => !ready.includes(entry));
    return ready;
  }

  /** Takes a run directly to the active ones: one that lived on from an earlier daemon. */
  activate(entry: T): void {
    this.#active.set(entry.run, entry);
  }

  /** Forgets a run, waiting or active; true when it was waiting. */
  remove(run: number): boolean {
    this.#active.delete(run);
    const rest = this.#waiting.filter((entry) => entry.run !== run);
    const wasWaiting = rest.length < this.#waiting.length;
    this.#waiting = rest;
    return wasWaiting;
  }

  /** Forgets all that wait. */
  clearWaiting(): void {
    this.#waiting = [];
  }

  /** What a waiting run waits for, in words. */
  reasonFor({ parent }: T): string {
    const limit = `${this.#active.size} of ${this.#maxRuns} runs are active (max_runs)`;
    if (this.#active.size < this.#maxRuns) return 'its turn comes at once';
    return parent === null ? limit : `${limit}, and its parent task ${parent} is not alive`;
  }

  waiting(): readonly T[] {
    return this.#waiting;
  }

  active(): readonly T[] {
    return [...this.#active.values()];
  }

  #hasActive(task: number): boolean {
    return [...this.#active.values()].some((entry) => entry.task === task);
  }
}
