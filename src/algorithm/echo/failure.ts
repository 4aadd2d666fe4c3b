import type { EchoPair, PairError } from '../../core/protocol/echo.ts';

/** A probe that failed, with the code that its pair gets. */
export class ProbeFailure extends Error {
  readonly code: PairError['code'];

  constructor(code: PairError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

const CODE_OF_ERRNO: Readonly<Record<string, PairError['code']>> = {
  ECONNREFUSED: 'V6_TEST_REFUSED',
  EHOSTUNREACH: 'V6_TEST_UNREACHABLE',
  ENETUNREACH: 'V6_TEST_UNREACHABLE',
  EACCES: 'V6_TEST_UNREACHABLE',
  EPERM: 'V6_TEST_UNREACHABLE',
  ECONNRESET: 'V6_TEST_CLOSED',
  EPIPE: 'V6_TEST_CLOSED',
  ETIMEDOUT: 'V6_TEST_TIMEOUT',
};

/**
 * What the sender can say about a failed probe. The hop stays null: an errno does not show where on the way it came from;
 * who reads all reports side by side can tell (src/diagnose).
 */
export function toPairError(error: unknown): PairError {
  if (error instanceof ProbeFailure) return { code: error.code, message: error.message, hop: null };
  const { code, message } = error as NodeJS.ErrnoException;
  return { code: CODE_OF_ERRNO[code ?? ''] ?? 'V6_TEST_PAIR_FAILED', message, hop: null };
}

/** Smallest, middle and largest of at least one round trip, in ms with three decimals. */
export function summarize(times: readonly number[]): NonNullable<EchoPair['rttMs']> {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (index: number): number => Math.round((sorted[index] ?? 0) * 1000) / 1000;
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1
      ? at(middle)
      : Math.round((((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2) * 1000) / 1000;
  return { min: at(0), median, max: at(sorted.length - 1) };
}
