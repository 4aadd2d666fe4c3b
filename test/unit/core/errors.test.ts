import { describe, expect, it } from 'vitest';
import { ERROR_CATALOGUE, toV6Error, V6Error } from '../../../src/core/errors.ts';

describe('error catalogue', () => {
  it('uses only the exit statuses that the documentation promises', () => {
    const allowed = [1, 2, 3, 69, 75, 77, 78, 130];
    for (const [code, entry] of Object.entries(ERROR_CATALOGUE)) {
      expect(allowed, code).toContain(entry.exitCode);
      expect(entry.httpStatus, code).toBeGreaterThanOrEqual(400);
      expect(code).toMatch(/^V6_[A-Z]+(_[A-Z0-9]+)*$/);
    }
  });

  it('turns what is not expected into a bug that keeps its cause', () => {
    const cause = new TypeError('x is not a function');
    const error = toV6Error(cause);
    expect(error.code).toBe('V6_BUG');
    expect(error.entry.exitCode).toBe(1);
    expect(error.cause).toBe(cause);
  });

  it('leaves an expected failure as it is', () => {
    const error = new V6Error('V6_PORTS_EXHAUSTED', 'no port left');
    expect(toV6Error(error)).toBe(error);
  });
});
