import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../../src/core/logger.ts';
import type { Verdict } from '../../../../src/core/protocol/daemon.ts';
import { createRenewal, renewalDueAt } from '../../../../src/node/vpn/renewal.ts';
import { TRYING_VERDICT } from '../../../../src/node/vpn/verdict.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

let stop = new AbortController();
afterEach(() => {
  stop.abort(new Error('end of the test'));
  stop = new AbortController();
});

/** A ladder whose portal gives certificates of `lifeMs`, dated back by five minutes as eduVPN does. */
class FakeLadder {
  isDown = false;
  replaced: Date[] = [];
  #state: Verdict['state'] = 'trying';
  #notAfter: Date | undefined;
  readonly #listeners: ((verdict: Verdict) => void)[] = [];
  readonly #clock: ManualClock;
  readonly #lifeMs: number;

  constructor(clock: ManualClock, lifeMs: number) {
    this.#clock = clock;
    this.#lifeMs = lifeMs;
  }

  become(state: Verdict['state']): void {
    this.#state = state;
    if (state === 'connected' && this.#notAfter === undefined) this.#issue();
    for (const listener of this.#listeners) listener(this.verdict());
  }

  async replace(): Promise<Verdict> {
    this.replaced.push(this.#clock.now());
    if (!this.isDown) this.#issue();
    this.become(this.#state);
    return this.verdict();
  }

  verdict(): Verdict {
    const warning = this.isDown
      ? ({ code: 'V6_PORTAL_UNREACHABLE', message: 'down', hints: [] } as const)
      : null;
    return { ...TRYING_VERDICT, state: this.#state, warning };
  }

  onVerdict(listener: (verdict: Verdict) => void): void {
    this.#listeners.push(listener);
  }

  certificate() {
    if (this.#notAfter === undefined) return undefined;
    const issuedAt = this.#notAfter.getTime() - this.#lifeMs;
    return { notBefore: new Date(issuedAt - 5 * MINUTE), notAfter: this.#notAfter };
  }

  #issue(): void {
    this.#notAfter = new Date(this.#clock.now().getTime() + this.#lifeMs);
  }
}

function world(lifeMs: number) {
  const clock = new ManualClock();
  const ladder = new FakeLadder(clock, lifeMs);
  const renewal = createRenewal({ ladder, clock, logger: silentLogger, random: () => 0.5 });
  void renewal.run(stop.signal);
  return { clock, ladder, renewal };
}

/** Lets `ms` pass, stopping wherever somebody wakes. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  const end = clock.now().getTime() + ms;
  for (;;) {
    await settled();
    const left = end - clock.now().getTime();
    if (left <= 0) return;
    await clock.turn(Math.min(left, Math.max(clock.nextMs ?? left, 1)));
  }
}

describe('renewal before the end', () => {
  it('asks after about two thirds of the life, again and again, and never too late', async () => {
    const { clock, ladder, renewal } = world(3 * MINUTE);
    ladder.become('connected');
    await settled();
    const start = clock.now().getTime();
    expect(renewal.dueAt()?.getTime()).toBe(start + 0.62 * 3 * MINUTE);
    await pass(clock, 12 * MINUTE);
    expect(ladder.replaced).toHaveLength(6);
    expect(ladder.replaced[0]?.getTime()).toBe(start + 0.62 * 3 * MINUTE);
  });

  it('waits for weeks where the life is long', async () => {
    const { clock, ladder } = world(90 * DAY);
    ladder.become('connected');
    await pass(clock, 50 * DAY);
    expect(ladder.replaced).toEqual([]);
    await pass(clock, 11 * DAY);
    expect(ladder.replaced).toHaveLength(1);
  });

  it('tries again while time is left, and goes back to rest once it worked', async () => {
    const { clock, ladder, renewal } = world(90 * DAY);
    ladder.become('connected');
    ladder.isDown = true;
    await pass(clock, 57 * DAY);
    expect(ladder.replaced.length).toBeGreaterThan(10);
    expect(Number(renewal.dueAt())).toBeGreaterThan(clock.now().getTime());
    ladder.isDown = false;
    await pass(clock, 2 * 3_600_000);
    const tries = ladder.replaced.length;
    await pass(clock, 50 * DAY);
    expect(ladder.replaced).toHaveLength(tries);
  });

  it('leaves a node without a tunnel to its ladder', async () => {
    const { clock, ladder, renewal } = world(3 * MINUTE);
    ladder.become('connected');
    ladder.become('trying');
    await pass(clock, 10 * MINUTE);
    expect(ladder.replaced).toEqual([]);
    expect(renewal.dueAt()).toBeUndefined();
    ladder.become('connected');
    await settled();
    expect(ladder.replaced).toHaveLength(1);
  });

  it('is always due between half of the life and its end', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 * DAY }),
        fc.integer({ min: 0, max: 10 * MINUTE }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (lifeMs, datedBackMs, spread) => {
          const issuedAt = Date.parse('2030-01-01T00:00:00Z');
          const notBefore = new Date(issuedAt - datedBackMs);
          const notAfter = new Date(issuedAt + lifeMs);
          const due = renewalDueAt({ notBefore, notAfter }, spread).getTime();
          expect(due).toBeLessThanOrEqual(notAfter.getTime());
          expect(due).toBeGreaterThanOrEqual(notBefore.getTime());
        },
      ),
    );
  });
});
