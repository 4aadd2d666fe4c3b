import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import { type AddressFigures, measureAddresses, SHAPES } from './addresses.ts';
import { atLeast, atMost, type BenchDocument } from './document.ts';
import { type FanoutFigures, measureFanout } from './fanout.ts';
import { type LoginFigures, measureLogin } from './login.ts';
import { startOurs } from './ours.ts';
import type { Peer } from './peer.ts';
import { type PythonEnvironment, startPython } from './python-peer.ts';
import { round } from './statistics.ts';

export interface BenchInput {
  /** Scratch, removed by the caller. */
  readonly folder: string;
  readonly freePort: () => Promise<number>;
  /** Undefined: only our figures. */
  readonly python: PythonEnvironment | undefined;
  readonly nodes: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly fromSources: boolean;
  /** Of drills: only tests whose name holds this text. */
  readonly only: string | undefined;
  /** Somebody wants it to end: what it made goes all the same. */
  readonly signal: AbortSignal;
  /** Tells the progress. */
  readonly said: (line: string) => void;
}

/** Starts each server that can be measured, one after the other, on a new database of the same size. */
async function onEach(
  input: BenchInput,
  nodes: number,
  work: (peer: Peer) => Promise<void>,
): Promise<void> {
  const starts = [
    async () =>
      startOurs({
        folder: mkdtempSync(path.join(input.folder, 'ours-')),
        port: await input.freePort(),
        nodes,
        fromSources: input.fromSources,
      }),
    ...(input.python === undefined
      ? []
      : [
          async () =>
            startPython(input.python as PythonEnvironment, {
              folder: mkdtempSync(path.join(input.folder, 'python-')),
              port: await input.freePort(),
              nodes,
            }),
        ]),
  ];
  for (const start of starts) {
    input.signal.throwIfAborted();
    const peer = await start();
    input.said(`${peer.name} runs with ${nodes} nodes`);
    try {
      await work(peer);
    } catch (error) {
      // Ours has to work. What upstream's cannot do is a finding, and no reason to lose the rest.
      if (peer.name === 'v6') throw error;
      input.said(`python was not measured: ${error instanceof Error ? error.message : 'failed'}`);
    } finally {
      await peer.stop();
    }
  }
}

export async function benchAddresses(input: BenchInput): Promise<BenchDocument> {
  const figures: AddressFigures[] = [];
  for (const shape of SHAPES) {
    await onEach(input, shape.runs, async (peer) => {
      figures.push(...(await measureAddresses(peer, shape, input.seconds)));
    });
  }
  const ours = figures.filter((row) => row.server === 'v6');
  const ratios = ours.flatMap(({ shape, connections, perSecond, p50 }) => {
    const other = figures.find(
      (row) => row.server === 'python' && row.shape === shape && row.connections === connections,
    );
    if (other === undefined) return [];
    return [
      {
        shape,
        connections,
        perSecond: round(perSecond / other.perSecond),
        p50: round(other.p50 / p50),
      },
    ];
  });
  return {
    name: 'addresses',
    unit: 'ms',
    figures,
    ratios,
    goals: [
      ...ratios.map((row) =>
        atLeast(
          `answers per second against Python, ${row.shape}, ${row.connections} connections`,
          row.perSecond,
          1000,
        ),
      ),
      ...ours
        .filter((row) => row.connections === 1)
        .map((row) => atMost(`p50, ${row.shape}, 1 connection`, row.p50, 5)),
    ],
  };
}

export async function benchFanout(input: BenchInput): Promise<BenchDocument> {
  const figures: FanoutFigures[] = [];
  const kinds = [
    { transport: 'websocket', reads: false },
    { transport: 'polling', reads: false },
    { transport: 'websocket', reads: true },
    { transport: 'polling', reads: true },
  ] as const;
  for (const kind of kinds) {
    // Upstream's server needs minutes for each kind; its nodes' reads would be measured by the hour.
    const isForPython = !kind.reads;
    await onEach(
      { ...input, python: isForPython ? input.python : undefined },
      input.nodes,
      async (peer) => {
        const rounds = peer.name === 'v6' ? input.rounds : Math.ceil(input.rounds / 3);
        figures.push(await measureFanout(peer, { ...kind, rounds }));
      },
    );
  }
  const ours = figures.filter((row) => row.server === 'v6');
  const ratios = ours.flatMap(({ transport, reads, last }) => {
    const other = figures.find(
      (row) => row.server === 'python' && row.transport === transport && row.reads === reads,
    );
    return other === undefined ? [] : [{ transport, last: round(other.last.p50 / last.p50) }];
  });
  const goals = ours.flatMap(({ transport, reads, last, probe, connected, after }) => {
    const what = `${transport}${reads ? ', each reads its run' : ''}`;
    return [
      ...(reads ? [] : [atMost(`last node told, p50, ${what}`, last.p50, 250)]),
      // While a thousand nodes read, whoever comes last waits for all of them.
      ...(probe === undefined || reads
        ? []
        : [atMost(`REST meanwhile, p99, ${what}`, probe.p99, 50)]),
      atMost(`MiB with all connected, ${what}`, connected.rssMiB, 150),
      atMost(`MiB after the tasks, ${what}`, after.rssMiB, 150),
    ];
  });
  return { name: 'fanout', unit: 'ms', figures, ratios, goals };
}

/** Upstream tries bcrypt against every node: with more of them one run would take hours. */
const PYTHON_LOGINS = 10;

export async function benchLogin(input: BenchInput): Promise<BenchDocument> {
  const figures: LoginFigures[] = [];
  await onEach(input, PYTHON_LOGINS, async (peer) => {
    figures.push(await measureLogin(peer, false));
  });
  await onEach({ ...input, python: undefined }, input.nodes, async (peer) => {
    figures.push(await measureLogin(peer, false));
    figures.push(await measureLogin(peer, true));
  });
  const small = figures.filter((row) => row.nodes === PYTHON_LOGINS);
  const [ours, python] = [
    small.find((row) => row.server === 'v6'),
    small.find((row) => row.server === 'python'),
  ];
  return {
    name: 'login',
    unit: 'ms',
    figures,
    ratios:
      ours === undefined || python === undefined
        ? []
        : [{ nodes: PYTHON_LOGINS, all: round(python.allMs / ours.allMs) }],
    goals: figures
      .filter((row) => row.nodes === input.nodes)
      .map((row) =>
        atMost(
          `${row.nodes} nodes logged in${row.reads ? ' and have read their records' : ''}`,
          row.allMs,
          10_000,
        ),
      ),
  };
}
