import { describe, expect, it } from 'vitest';
import { ProbeFailure, summarize, toPairError } from '../../../../src/algorithm/echo/failure.ts';

describe('round trips', () => {
  it.each([
    [[3], { min: 3, median: 3, max: 3 }],
    [[3, 1], { min: 1, median: 2, max: 3 }],
    [[9, 1, 2], { min: 1, median: 2, max: 9 }],
    [[1.23456, 1.23456], { min: 1.235, median: 1.235, max: 1.235 }],
  ])('%j are summarized as %j', (times, summary) => {
    expect(summarize(times)).toEqual(summary);
  });
});

describe('error of a pair', () => {
  it.each([
    ['ECONNREFUSED', 'V6_TEST_REFUSED'],
    ['EHOSTUNREACH', 'V6_TEST_UNREACHABLE'],
    ['ENETUNREACH', 'V6_TEST_UNREACHABLE'],
    ['ECONNRESET', 'V6_TEST_CLOSED'],
    ['ETIMEDOUT', 'V6_TEST_TIMEOUT'],
    ['EMFILE', 'V6_TEST_PAIR_FAILED'],
  ])('of %s is %s, without a guess where', (errno, code) => {
    const error = Object.assign(new Error('why'), { code: errno });
    expect(toPairError(error)).toEqual({ code, message: 'why', hop: null });
  });

  it('of a probe is its own', () => {
    expect(toPairError(new ProbeFailure('V6_TEST_WRONG_PEER', 'who'))).toEqual({
      code: 'V6_TEST_WRONG_PEER',
      message: 'who',
      hop: null,
    });
  });
});
