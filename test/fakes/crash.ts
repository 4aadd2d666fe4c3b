/** Where a daemon ends: at the edge's call with this number, before the call does anything or after it has done all. */
export interface CrashPoint {
  readonly step: number;
  readonly when: 'before' | 'after';
}

/** A process that ends in the middle: at its point the call never comes back, and from then on nothing else does anything. */
export class Crash {
  /** Calls so far. */
  steps = 0;
  isDead = false;
  readonly calls: string[] = [];
  readonly #point: CrashPoint | undefined;

  constructor(point?: CrashPoint) {
    this.#point = point;
  }

  /** The same object, whose asynchronous methods count as steps. */
  readonly around = <T extends object>(edge: T): T =>
    new Proxy(edge, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => this.#call(String(name), () => value.apply(target, args));
      },
    });

  #call(name: string, run: () => unknown): unknown {
    if (this.isDead) return never();
    if (name === 'followLogs') return run();
    const step = this.steps;
    this.steps += 1;
    this.calls.push(name);
    if (step !== this.#point?.step) return this.#whileAlive(run());
    if (this.#point.when === 'before') {
      this.isDead = true;
      return never();
    }
    const done = Promise.resolve(run()).catch(() => undefined);
    return done.then(() => {
      this.isDead = true;
      return never();
    });
  }

  /** What comes back after the end meets nobody. */
  async #whileAlive(result: unknown): Promise<unknown> {
    try {
      const value = await result;
      return this.isDead ? await never() : value;
    } catch (error) {
      if (this.isDead) return never();
      throw error;
    }
  }
}

const never = (): Promise<never> => new Promise(() => undefined);
