import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEchoReport, plainText } from '../../../../src/core/protocol/echo.ts';

const pair = {
  to: 2,
  protocol: 'tcp',
  label: 'echo-tcp',
  address: '10.76.0.2:49152',
  ok: true,
  rttMs: { min: 1, median: 2, max: 3 },
  error: null,
};
const report = (...pairs: readonly unknown[]) => ({ organization: 1, pairs, durationMs: 12 });

describe('report of an echo container', () => {
  it('comes through as it was written', () => {
    expect(parseEchoReport(report(pair))).toEqual(report(pair));
  });

  it.each([
    ['no object', null],
    ['no organization', { pairs: [] }],
    ['no pairs', { organization: 1 }],
    ['a pair without receiver', report({ ...pair, to: '2' })],
    ['a pair of an unknown protocol', report({ ...pair, protocol: 'icmp' })],
  ])('is none with %s', (_what, value) => {
    expect(parseEchoReport(value)).toBeUndefined();
  });

  it.each([
    ['without measured times', { rttMs: null }],
    ['without an address', { address: null }],
    ['with times that are none', { rttMs: { min: -1, median: 2, max: 3 } }],
    ['that only says so in a text', { ok: 'true' }],
  ])('does not pass a pair %s', (_what, changes) => {
    const [parsed] = parseEchoReport(report({ ...pair, ...changes }))?.pairs ?? [];
    expect(parsed).toMatchObject({ ok: false, rttMs: null });
    expect(parsed?.error?.code).toBe('V6_TEST_PAIR_FAILED');
  });

  it('keeps only known codes and hops, and text without control characters', () => {
    const error = {
      code: 'V6_DATABASE',
      message: `\u001b[31mred\n${'x'.repeat(999)}`,
      hop: 'moon',
    };
    const [parsed] = parseEchoReport(report({ ...pair, ok: false, error }))?.pairs ?? [];
    expect(parsed?.error?.code).toBe('V6_TEST_PAIR_FAILED');
    expect(parsed?.error?.hop).toBeNull();
    expect(parsed?.error?.message).toMatch(/^ \[31mred x+$/);
    expect(parsed?.error?.message).toHaveLength(300);
  });

  it('never throws, whatever a container writes', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        parseEchoReport(value);
        parseEchoReport(report(value));
      }),
    );
  });

  it('hides text direction marks as well', () => {
    expect(plainText('a\u202eb\u0007c')).toBe('a b c');
  });
});
