import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createCollector,
  parsePart,
  toParts,
} from '../../../../src/adapters/database/event-parts.ts';

const SENDER = 'ab12';

function through(collector: ReturnType<typeof createCollector>, payloads: readonly string[]) {
  const texts: string[] = [];
  let gaps = 0;
  for (const payload of payloads) {
    const part = parsePart(payload);
    if (part === undefined) throw new Error('no part');
    const { text, isGap } = collector.take(part);
    if (text !== undefined) texts.push(text);
    if (isGap) gaps += 1;
  }
  return { texts, gaps };
}

describe('events in parts', () => {
  it('arrive as they were sent, whatever is in them, in parts that PostgreSQL takes', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 20_000 })), (values) => {
        const payloads = values.flatMap((value, at) => toParts(SENDER, at, JSON.stringify(value)));
        for (const payload of payloads) expect(Buffer.byteLength(payload)).toBeLessThan(8000);
        const { texts, gaps } = through(createCollector(), payloads);
        expect(texts.map((text) => JSON.parse(text) as string)).toStrictEqual(values);
        expect(gaps).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it('show that one is missing, and lose no later one', () => {
    const event = (at: number): readonly string[] => toParts(SENDER, at, `"${at}"`);
    const heard = [...event(1), ...event(3), ...event(4)];
    expect(through(createCollector(), heard)).toStrictEqual({
      texts: ['"1"', '"3"', '"4"'],
      gaps: 1,
    });
  });

  it('show that a part is missing, and give no half event', () => {
    const long = toParts(SENDER, 1, JSON.stringify('x'.repeat(20_000)));
    expect(long).toHaveLength(3);
    const heard = [long[0] ?? '', long[2] ?? '', ...toParts(SENDER, 2, '"next"')];
    const { texts, gaps } = through(createCollector(), heard);
    expect(texts).toStrictEqual(['"next"']);
    expect(gaps).toBeGreaterThan(0);
  });

  it('begin anywhere: a replica that starts has missed nothing', () => {
    expect(through(createCollector(), toParts(SENDER, 77, '""')).gaps).toBe(0);
  });

  it('leave alone what is none of ours', () => {
    expect(parsePart('hello')).toBeUndefined();
    expect(parsePart('ab12 1 1/99999999 x')).toBeUndefined();
  });
});
