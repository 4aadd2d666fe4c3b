import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import type { Logger } from '../../../../src/core/logger.ts';
import type { Drift } from '../../../../src/node/interfaces/drift.ts';
import { type Check, EVERY_MS, Reconciler } from '../../../../src/node/reconcile/reconciler.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';

const DRIFT: Drift = { what: 'slot network v6z-user-alpha-0', found: 'missing', wanted: 'there' };
const FAILED: Drift = { ...DRIFT, failure: new V6Error('V6_ENGINE_REQUEST', 'no') };

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A reconciler over one check whose next answers the test gives. */
function world(answers: (readonly Drift[] | Error)[] = []) {
  const clock = new ManualClock();
  const lines: Line[] = [];
  const level =
    (name: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      if (name !== 'debug') lines.push({ level: name, message, fields });
    };
  const logger: Logger = {
    debug: level('debug'),
    info: level('info'),
    warn: level('warn'),
    error: level('error'),
  };
  const passes: number[] = [];
  let running = 0;
  let hold: Promise<void> | undefined;
  const check: Check = {
    name: 'slots',
    run: async () => {
      running += 1;
      expect(running).toBe(1);
      passes.push(clock.now().getTime());
      await hold;
      running -= 1;
      const answer = answers.shift() ?? [];
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const life = new AbortController();
  const explain = ({ what }: Drift) => (what.includes('v6z') ? 'engine event: x' : undefined);
  const reconciler = new Reconciler({ clock, logger, checks: [check], explain });
  const turn = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 100) await clock.turn(Math.min(left, 100));
  };
  return {
    clock,
    lines,
    passes,
    reconciler,
    turn,
    end: () => life.abort(new Error('end')),
    start: async () => {
      void reconciler.run(life.signal);
      await turn(100);
    },
    holdUntil: (promise: Promise<void> | undefined) => {
      hold = promise;
    },
  };
}

describe('the reconciler', () => {
  it('looks at the start, and every 30 s without any reason', async () => {
    const { start, turn, passes, lines } = world();
    await start();
    expect(passes).toHaveLength(1);
    await turn(EVERY_MS - 100);
    expect(passes).toHaveLength(1);
    await turn(100);
    expect(passes).toHaveLength(2);
    expect(lines).toEqual([]);
  });

  it('makes one pass of reasons that come together, and never two at once', async () => {
    const { start, turn, passes, reconciler, holdUntil } = world();
    await start();
    for (let i = 0; i < 50; i += 1) reconciler.request(`event ${i}`);
    await turn(100);
    expect(passes).toHaveLength(2);
    let release: () => void = () => undefined;
    holdUntil(
      new Promise((resolve) => {
        release = resolve;
      }),
    );
    reconciler.request('first');
    await turn(100);
    // These come while the pass is under way: one more follows it, and the check itself says that it is alone.
    reconciler.request('second');
    reconciler.request('third');
    await turn(500);
    expect(passes).toHaveLength(3);
    holdUntil(undefined);
    release();
    await settled();
    await turn(100);
    expect(passes).toHaveLength(4);
  });

  it('gives daily work a second, and a loss a tenth of one', async () => {
    const { start, turn, passes, reconciler } = world();
    await start();
    reconciler.request('an algorithm ended', 'soon');
    await turn(900);
    expect(passes).toHaveLength(1);
    reconciler.request('the VPN client died');
    await turn(100);
    expect(passes).toHaveLength(2);
    await turn(5000);
    expect(passes).toHaveLength(2);
  });

  it('tells each repair once, with what was found, what is wanted, who changed it and why it was looked at', async () => {
    const { start, turn, lines, reconciler } = world([[], [DRIFT]]);
    await start();
    reconciler.request('engine event: network destroy v6z-user-alpha-0');
    await turn(1200);
    expect(lines).toEqual([
      {
        level: 'warn',
        message: 'The network was not as it must be; repaired',
        fields: {
          what: 'slot network v6z-user-alpha-0',
          found: 'missing',
          wanted: 'there',
          changedBy: 'engine event: x',
          trigger: 'engine event: network destroy v6z-user-alpha-0',
        },
      },
    ]);
    expect(reconciler.report()).toMatchObject({ repairs: 1, failing: [] });
  });

  it('says unknown where nobody knows who changed it', async () => {
    const { start, lines } = world([[{ ...DRIFT, what: 'rules' }]]);
    await start();
    expect(lines[0]?.fields.changedBy).toBe('unknown');
  });

  it('does not run for ever when each of its repairs is undone, or causes the next reason', async () => {
    const { start, turn, passes, reconciler } = world(Array.from({ length: 100 }, () => [DRIFT]));
    await start();
    for (let second = 0; second < 120; second += 1) {
      reconciler.request('our own repair');
      await turn(1000);
    }
    // 1, 2, 4, 8, 16, 30, 30 … seconds apart.
    expect(passes.length).toBeLessThanOrEqual(9);
    expect(passes.length).toBeGreaterThanOrEqual(7);
  });

  it('tries a repair that failed again with growing pauses, tells it once, and tells when it is over', async () => {
    const { start, turn, lines, reconciler, passes } = world([[FAILED], [FAILED], [FAILED], []]);
    await start();
    expect(reconciler.report().failing).toMatchObject([
      { what: DRIFT.what, code: 'V6_ENGINE_REQUEST' },
    ]);
    await turn(1000);
    expect(passes).toHaveLength(2);
    await turn(2000);
    expect(passes).toHaveLength(3);
    await turn(4000);
    expect(passes).toHaveLength(4);
    expect(reconciler.report().failing).toEqual([]);
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('keeps checking the rest when one check does not work, and shows which', async () => {
    const away = () => new V6Error('V6_ENGINE_MISSING', 'No container engine answers');
    const { start, turn, lines, reconciler } = world([away(), away(), []]);
    await start();
    expect(reconciler.report().failing).toMatchObject([
      { what: 'check of slots', code: 'V6_ENGINE_MISSING' },
    ]);
    await turn(3000);
    expect(reconciler.report().failing).toEqual([]);
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('makes only the check that a reason concerns, and still all of them every 30 s', async () => {
    const { start, turn, passes, reconciler } = world();
    await start();
    for (let second = 0; second < 29; second += 1) {
      reconciler.request('host rules changed', 'now', 'the host rules');
      await turn(1000);
    }
    expect(passes).toHaveLength(1);
    await turn(1000);
    expect(passes).toHaveLength(2);
    reconciler.request('host rules changed', 'now', 'the host rules');
    reconciler.request('the slots may differ', 'now', 'slots');
    await turn(100);
    expect(passes).toHaveLength(3);
  });

  it('ends with the node', async () => {
    const { start, turn, passes, reconciler, end } = world();
    await start();
    end();
    reconciler.request('late');
    await turn(EVERY_MS);
    expect(passes).toHaveLength(1);
  });
});
