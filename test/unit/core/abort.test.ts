import { describe, expect, it } from 'vitest';
import { whenAborted } from '../../../src/core/abort.ts';

describe('whenAborted', () => {
  it('calls once, when the signal aborts', () => {
    const life = new AbortController();
    let calls = 0;
    whenAborted(life.signal, () => {
      calls += 1;
    });
    expect(calls).toBe(0);
    life.abort();
    life.abort();
    expect(calls).toBe(1);
  });

  it('calls at once for a signal that has aborted before', () => {
    let calls = 0;
    whenAborted(AbortSignal.abort(), () => {
      calls += 1;
    });
    expect(calls).toBe(1);
  });

  it('calls no more once it was taken back', () => {
    const life = new AbortController();
    let calls = 0;
    const takeBack = whenAborted(life.signal, () => {
      calls += 1;
    });
    takeBack();
    life.abort();
    expect(calls).toBe(0);
  });
});
