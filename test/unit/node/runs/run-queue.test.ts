import { expect, it } from 'vitest';
import { RunQueue } from '../../../../src/node/runs/run-queue.ts';

const entry = (run: number, parent: number | null = null) => ({ run, task: run + 100, parent });
const nobody = () => false;
const ids = (entries: readonly { run: number }[]) => entries.map(({ run }) => run);

it('starts runs in the order they came in, as many as may run at once', () => {
  const queue = new RunQueue(2);
  for (const run of [3, 1, 2]) queue.add(entry(run));
  expect(ids(queue.takeReady(nobody))).toEqual([3, 1]);
  expect(ids(queue.waiting())).toEqual([2]);
  queue.remove(3);
  expect(ids(queue.takeReady(nobody))).toEqual([2]);
});

it('lets the children of a living parent go ahead, on this node and on another', () => {
  const queue = new RunQueue(1);
  queue.add(entry(1));
  queue.takeReady(nobody);
  queue.add(entry(2));
  queue.add(entry(3, 101));
  queue.add(entry(4, 555));
  expect(ids(queue.takeReady((task) => task === 555))).toEqual([3, 4]);
  expect(ids(queue.waiting())).toEqual([2]);
});

it('holds children of an ended parent back like any other run', () => {
  const queue = new RunQueue(1);
  queue.add(entry(1));
  queue.takeReady(nobody);
  queue.add(entry(2, 999));
  expect(queue.takeReady(nobody)).toEqual([]);
});

it('takes a run once, waiting or active', () => {
  const queue = new RunQueue(1);
  expect(queue.add(entry(1))).toBe(true);
  expect(queue.add(entry(1))).toBe(false);
  queue.takeReady(nobody);
  expect(queue.add(entry(1))).toBe(false);
});
