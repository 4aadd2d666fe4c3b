/** What was measured, in milliseconds unless said otherwise. */
export interface Spread {
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
  readonly min: number;
  readonly max: number;
}

/** Rounded to two decimals. With fewer than 100 values p99 is the largest. Throws for an empty list. */
export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('Nothing was measured.');
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    round(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN);
  return {
    n: sorted.length,
    p50: at(0.5),
    p99: at(0.99),
    min: round(sorted[0] ?? Number.NaN),
    max: at(1),
  };
}

export const round = (value: number): number => Math.round(value * 100) / 100;

/** Milliseconds since 1970 with fractions, comparable between processes of one machine. */
export const wallClock = (): number => performance.timeOrigin + performance.now();
