import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createVitest } from 'vitest/node';
import type { DrillRecord } from '../../test/support/drill.ts';
import type { BenchInput } from '../benchmarks.ts';
import { atMost, type BenchDocument } from '../document.ts';
import { type Spread, spread } from '../statistics.ts';

/** All but the cycles, which are no drill of one thing. */
const FILES = ['client', 'daemon', 'host', 'tunnel'].map((name) => `test/drills/${name}.test.ts`);
/** What the drills assert then ends one that hangs; the limits themselves are goals here, which are reached or missed. */
const PATIENCE = '8';

export interface DrillFigures {
  readonly drill: string;
  readonly repaired: Spread;
  /** The longest silence of an open connection; undefined where the drill has none of its own. */
  readonly silence?: Spread;
}

/**
 * Each drill of `test/drills/`, with the time to its repair. Throws when a drill fails for another reason than its time: what is not
 * repaired at all has no figure.
 */
export async function benchDrills(input: BenchInput): Promise<BenchDocument> {
  const record = path.join(input.folder, 'drills.jsonl');
  process.env.V6_DRILL_RECORD = record;
  process.env.V6_DRILL_PATIENCE = PATIENCE;
  for (let round = 1; round <= input.rounds; round += 1) {
    input.signal.throwIfAborted();
    await runAll(input);
    input.said(`round ${round} of ${input.rounds}`);
  }
  const lines = (await readFile(record, 'utf8')).trimEnd().split('\n');
  return documentOf(lines.map((line) => JSON.parse(line) as DrillRecord));
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

async function runAll({ only, signal }: BenchInput): Promise<void> {
  const before = new Map(SIGNALS.map((name) => [name, process.listeners(name)]));
  const vitest = await createVitest(
    {
      project: ['integration'],
      watch: false,
      // Threads and not processes: Ctrl-C ends every process of the terminal at once, and with them what would clean up.
      pool: 'threads',
      reporters: ['default'],
      ...(only === undefined ? {} : { testNamePattern: only }),
    },
    {},
    // Standard output is for the document.
    { stdout: process.stderr },
  );
  // It would end the process at a signal, and the drills would have no time to remove what they made.
  for (const [name, kept] of before)
    for (const listener of process.listeners(name))
      if (!kept.includes(listener)) process.off(name, listener);
  const cancel = (): void => void vitest.cancelCurrentRun('keyboard-input');
  signal.addEventListener('abort', cancel, { once: true });
  try {
    await vitest.start(FILES);
    const failed = vitest.state.getCountOfFailedTests();
    if (failed > 0) throw new Error(`${failed} drills failed; what they said is above.`);
  } finally {
    signal.removeEventListener('abort', cancel);
    await vitest.close();
  }
  signal.throwIfAborted();
}

function documentOf(records: readonly DrillRecord[]): BenchDocument {
  const drills = [...Map.groupBy(records, ({ drill }) => drill)].map(([drill, all]) => {
    const gaps = all.flatMap(({ gapMs }) => (gapMs === undefined ? [] : [gapMs]));
    const [{ limitMs, gapLimitMs } = {} as DrillRecord] = all;
    const repaired = spread(all.map(({ recoveryMs }) => recoveryMs));
    const silence = gaps.length === 0 ? {} : { silence: spread(gaps) };
    return { figures: { drill, repaired, ...silence }, limitMs, gapLimitMs };
  });
  return {
    name: 'drills',
    unit: 'ms',
    figures: drills.map(({ figures }): DrillFigures => figures),
    ratios: [],
    goals: drills.flatMap(({ figures: { drill, repaired, silence }, limitMs, gapLimitMs }) => [
      ...(limitMs === undefined ? [] : [atMost(`${drill}: repaired, p50`, repaired.p50, limitMs)]),
      ...(silence === undefined || gapLimitMs === undefined
        ? []
        : [atMost(`${drill}: silence, p50`, silence.p50, gapLimitMs)]),
    ]),
  };
}
