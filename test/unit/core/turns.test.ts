import { describe, expect, it } from 'vitest';
import { createTurns } from '../../../src/core/turns.ts';

describe('turns', () => {
  it('keep the order of one key, and let other keys go on', async () => {
    const inTurn = createTurns();
    const done: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = inTurn('a', async () => {
      await gate.promise;
      done.push('first');
    });
    const second = inTurn('a', async () => done.push('second'));
    await inTurn('b', async () => done.push('other'));
    gate.resolve();
    await Promise.all([first, second]);
    expect(done).toStrictEqual(['other', 'first', 'second']);
  });

  it('go on after a failure, which only its own caller sees', async () => {
    const inTurn = createTurns();
    const failing = inTurn('a', async () => {
      throw new Error('stop');
    });
    const after = inTurn('a', async () => 'fine');
    await expect(failing).rejects.toThrow('stop');
    expect(await after).toBe('fine');
  });
});
