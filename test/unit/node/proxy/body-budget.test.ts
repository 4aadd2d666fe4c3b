import { describe, expect, it } from 'vitest';
import { BodyBudget } from '../../../../src/node/proxy/body-budget.ts';

async function* body(...sizes: readonly number[]): AsyncIterable<Uint8Array> {
  for (const size of sizes) yield Buffer.alloc(size, 'x');
}

describe('bodies that are held whole', () => {
  it('are collected up to the limit of all together', async () => {
    const budget = new BodyBudget(100);
    const [one, other] = [budget.open(), budget.open()];
    expect(await one.collect(body(30, 30))).toHaveLength(60);
    expect(await other.collect(body(40))).toHaveLength(40);
    await expect(other.collect(body(1))).rejects.toMatchObject({ code: 'V6_NODE_NOT_READY' });
  });

  it('count until they are released, and not longer', async () => {
    const budget = new BodyBudget(100);
    const one = budget.open();
    await one.collect(body(60));
    await expect(budget.open().collect(body(50))).rejects.toMatchObject({
      code: 'V6_NODE_NOT_READY',
    });
    one.release();
    one.release();
    const [next, refused] = [budget.open(), budget.open()];
    // The one that was refused has not been released: its 50 count.
    expect(await next.collect(body(50))).toHaveLength(50);
    await expect(refused.collect(body(1))).rejects.toMatchObject({ code: 'V6_NODE_NOT_READY' });
  });

  it('are given back when a request is refused half way', async () => {
    const budget = new BodyBudget(100);
    const refused = budget.open();
    await expect(refused.collect(body(90, 90))).rejects.toMatchObject({
      code: 'V6_NODE_NOT_READY',
    });
    refused.release();
    expect(await budget.open().collect(body(100))).toHaveLength(100);
  });
});
