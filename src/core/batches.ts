/** Adds an item to the next batch; resolves or rejects with its whole batch. */
export type IntoBatch<T> = (item: T) => Promise<void>;

/**
 * For work that costs the same for one item and for many, as a transaction with its flush to disk does: what comes while one
 * batch is under way gathers for the next. `work` gets at most `max` items, in the order in which they came.
 */
export function createBatches<T>(
  max: number,
  work: (items: readonly T[]) => Promise<void>,
): IntoBatch<T> {
  let waiting: { readonly item: T; readonly end: (error?: unknown) => void }[] = [];
  let isUnderWay = false;
  const run = async (): Promise<void> => {
    isUnderWay = true;
    // What comes in the same turn of the event loop is one batch already.
    await Promise.resolve();
    while (waiting.length > 0) {
      const batch = waiting.slice(0, max);
      waiting = waiting.slice(max);
      try {
        await work(batch.map(({ item }) => item));
        for (const { end } of batch) end();
      } catch (error) {
        for (const { end } of batch) end(error);
      }
    }
    isUnderWay = false;
  };
  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({
        item,
        end: (error) => (error === undefined ? resolve() : reject(error)),
      });
      if (!isUnderWay) void run();
    });
}
