/** What one benchmark prints, with `--json` as it is. */
export interface BenchDocument {
  readonly name: string;
  /** Of all times. */
  readonly unit: 'ms';
  readonly figures: readonly object[];
  /** Ours against the other's of the same run; empty when the other was not measured. */
  readonly ratios: readonly object[];
  readonly goals: readonly Goal[];
}

export interface Goal {
  readonly goal: string;
  readonly measured: number;
  readonly limit: number;
  readonly isReached: boolean;
}

export const atMost = (goal: string, measured: number, limit: number): Goal => ({
  goal,
  measured,
  limit,
  isReached: measured <= limit,
});

export const atLeast = (goal: string, measured: number, limit: number): Goal => ({
  goal,
  measured,
  limit,
  isReached: measured >= limit,
});
