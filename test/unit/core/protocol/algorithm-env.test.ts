import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeEnv, encodeEnv } from '../../../../src/core/protocol/algorithm-env.ts';

describe('values of algorithm environments', () => {
  it.each([
    ['abc', 'MFRGG!!!'],
    ['8080', 'HAYDQMA!'],
    ['80', 'HAYA!!!!'],
    ['', ''],
  ])('encode %j as %j, as upstream does', (plain, encoded) => {
    expect(encodeEnv(plain)).toBe(encoded);
    expect(decodeEnv(encoded)).toBe(plain);
  });

  it('round-trip every text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }).filter((text) => text.isWellFormed()),
        (text) => decodeEnv(encodeEnv(text)) === text,
      ),
    );
  });

  it('leave alone what is not encoded', () => {
    expect(decodeEnv('http://proxyserver')).toBe('http://proxyserver');
  });
});
