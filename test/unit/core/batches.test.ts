import { describe, expect, it } from 'vitest';
import { createBatches } from '../../../src/core/batches.ts';

/** Ends each batch by hand. */
function start(max: number) {
  const batches: { items: readonly number[]; end: (error?: Error) => void }[] = [];
  const put = createBatches<number>(
    max,
    (items) =>
      new Promise((resolve, reject) => {
        batches.push({ items, end: (error) => (error === undefined ? resolve() : reject(error)) });
      }),
  );
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { put, batches, settle };
}

describe('batches', () => {
  it('gathers what comes while one is under way, up to the limit and in order', async () => {
    const { put, batches, settle } = start(3);
    const first = put(1);
    await settle();
    const rest = Promise.all([put(2), put(3), put(4), put(5)]);
    expect(batches.map(({ items }) => items)).toStrictEqual([[1]]);
    batches[0]?.end();
    await first;
    await settle();
    batches[1]?.end();
    await settle();
    batches[2]?.end();
    await rest;
    expect(batches.map(({ items }) => items)).toStrictEqual([[1], [2, 3, 4], [5]]);
  });

  it('rejects all of a batch that fails, and goes on with the next', async () => {
    const { put, batches, settle } = start(2);
    const outcomes = Promise.allSettled([put(1), put(2), put(3)]);
    await settle();
    batches[0]?.end(new Error('no disk'));
    await settle();
    batches[1]?.end();
    expect((await outcomes).map(({ status }) => status)).toStrictEqual([
      'rejected',
      'rejected',
      'fulfilled',
    ]);
  });
});
