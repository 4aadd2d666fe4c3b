import { toV6Error, V6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';

/** What has to be undone, newest first. Each step is tried whatever became of the others, and done once. */
export class Teardown {
  readonly #steps: { readonly what: string; readonly undo: () => Promise<void> }[] = [];
  readonly #logger: Logger;
  #running: Promise<void> | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(what: string, undo: () => Promise<void>): void {
    this.#steps.push({ what, undo });
  }

  /** Runs all steps. Throws one error that lists the failures; what failed is tried again by the next call. */
  async run(): Promise<void> {
    this.#running ??= this.#runAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #runAll(): Promise<void> {
    const failed: { what: string; undo: () => Promise<void>; error: V6Error }[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      this.#logger.debug('Undoing', { what: step.what });
      try {
        await step.undo();
      } catch (thrown) {
        const error = toV6Error(thrown);
        failed.push({ ...step, error });
        this.#logger.error('A step of the stop failed', {
          what: step.what,
          code: error.code,
          error,
        });
      }
    }
    const [first] = failed;
    if (first === undefined) return;
    for (const { what, undo } of failed.toReversed()) this.add(what, undo);
    const list = failed.map(({ what, error }) => `${what}: ${error.message}`).join('; ');
    throw new V6Error(first.error.code, `Not everything could be undone: ${list}`, {
      cause: first.error,
      hints: first.error.hints,
    });
  }
}
