import type { Clock } from '../../core/clock.ts';

export interface AttemptLimit {
  /** Attempts within the window. */
  readonly max: number;
  readonly windowMs: number;
  /** How many keys are remembered; the oldest go first. */
  readonly keys?: number;
}

/** Counts attempts per key in a sliding window. In memory: a restart forgets them. */
export interface Attempts {
  /** Counts one. False when there were too many already; then nothing is counted. */
  take(key: string): boolean;
  forget(key: string): void;
  /** Takes the last one back. */
  giveBack(key: string): void;
}

export function createAttempts(limit: AttemptLimit, clock: Pick<Clock, 'now'>): Attempts {
  const times = new Map<string, number[]>();
  const maxKeys = limit.keys ?? 10_000;
  return {
    take: (key) => {
      const now = clock.now().getTime();
      const recent = (times.get(key) ?? []).filter((at) => now - at < limit.windowMs);
      times.delete(key);
      const isAllowed = recent.length < limit.max;
      times.set(key, isAllowed ? [...recent, now] : recent);
      if (times.size > maxKeys) times.delete(times.keys().next().value ?? '');
      return isAllowed;
    },
    forget: (key) => {
      times.delete(key);
    },
    giveBack: (key) => {
      times.get(key)?.pop();
    },
  };
}
