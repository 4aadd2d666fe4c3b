/** Work of one name runs one after the other, within this process: what SQLite, which serves one process, needs. */
export type Exclusively = <T>(name: string, work: () => Promise<T>) => Promise<T>;

export function createQueues(): Exclusively {
  const last = new Map<string, Promise<unknown>>();
  return async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const before = last.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    const done = mine.catch(() => undefined);
    last.set(name, done);
    try {
      return await mine;
    } finally {
      if (last.get(name) === done) last.delete(name);
    }
  };
}
