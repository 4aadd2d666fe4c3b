import { setTimeout } from 'node:timers/promises';
import { EngineApi, type EngineWatch } from '../../test/support/engine-api.ts';
import type { BenchInput } from '../benchmarks.ts';
import { atLeast, atMost, type BenchDocument } from '../document.ts';
import { round, type Spread, spread, wallClock } from '../statistics.ts';
import {
  ALGORITHM,
  ALGORITHM_COMMAND,
  openTaskWorld,
  PORTS,
  postTask,
  SCOPE,
  type TaskWorld,
} from './task-world.ts';
import { Upstream } from './upstream.ts';

/** Starts that do not count: compiled code is part of a node that runs for weeks. */
const WARM_UP = 2;
const LIMIT_MS = 30_000;
/** The pool is filled up again after each start; the next one does not wait for that. */
const SETTLE_MS = 400;

interface Start {
  /** POST /task until the engine says that the algorithm's process runs. */
  readonly totalMs: number;
  /** POST /task until the container is made: what is ours of it. The engine's start is the same with and without VPN. */
  readonly createdMs: number;
  /** Time in each state of the run, and in the engine. */
  readonly steps: Readonly<Record<string, number>>;
  /** During the whole life of the task. */
  readonly containers: number;
  readonly execs: number;
}

export interface TaskStartFigures extends Spread {
  readonly who: 'v6' | 'upstream';
  readonly vpn: boolean;
  /** Containers made and programs run in containers, for each task. */
  readonly containers: number;
  readonly execs: number;
  /** Median and largest of each step. */
  readonly steps?: Readonly<Record<string, number>>;
  readonly slowest?: Readonly<Record<string, number>>;
}

/** What the VPN adds to a task start, ours and upstream's, all four kinds in turn. */
export async function benchTaskStart(input: BenchInput): Promise<BenchDocument> {
  const api = new EngineApi();
  const world = await openTaskWorld(input);
  const upstream = new Upstream({
    api,
    image: world.lab.sandbox.image,
    name: 'v6-bench-upstream',
    label: 'v6.bench=upstream',
    ports: PORTS,
    algorithm: { image: ALGORITHM, command: ALGORITHM_COMMAND },
  });
  const ours = await api.watch(`v6.scope=${SCOPE}`);
  const theirs = await api.watch('v6.bench=upstream');
  try {
    await upstream.prepare();
    const rounds: Round[] = [];
    const warmUp = Math.min(WARM_UP, input.rounds);
    for (let at = -warmUp; at < input.rounds; at += 1) {
      input.signal.throwIfAborted();
      const one = await measureRound({ world, upstream, ours, theirs }, at + warmUp);
      if (at >= 0) rounds.push(one);
      input.said(`round ${at + 1} of ${input.rounds}`);
    }
    return documentOf(rounds);
  } finally {
    ours.stop();
    theirs.stop();
    try {
      await upstream.remove();
    } finally {
      await world.stop();
    }
  }
}

interface Bench {
  readonly world: TaskWorld;
  readonly upstream: Upstream;
  readonly ours: EngineWatch;
  readonly theirs: EngineWatch;
}

interface Round {
  readonly v6With: Start;
  readonly v6Without: Start;
  readonly upstreamWith: Start;
  readonly upstreamWithout: Start;
}

async function measureRound(bench: Bench, at: number): Promise<Round> {
  // Whoever is first in a round is another one each time.
  const isTurned = at % 2 === 1;
  const first = await startOurs(bench, isTurned ? 'without' : 'with');
  const second = await startOurs(bench, isTurned ? 'with' : 'without');
  const third = await startUpstream(bench, at * 2, !isTurned);
  const fourth = await startUpstream(bench, at * 2 + 1, isTurned);
  return isTurned
    ? { v6With: second, v6Without: first, upstreamWith: fourth, upstreamWithout: third }
    : { v6With: first, v6Without: second, upstreamWith: third, upstreamWithout: fourth };
}

async function startOurs({ world, ours }: Bench, kind: 'with' | 'without'): Promise<Start> {
  const { peer, nodes } = world;
  const organization = peer.nodes[kind === 'with' ? 0 : 1]?.organization ?? 0;
  ours.clear();
  const lines = nodes[kind].log.length;
  const began = wallClock();
  await postTask(peer, organization);
  const started = await ours.next('the start', LIMIT_MS, isOfAlgorithm('start'));
  const created = await ours.next('the creation', LIMIT_MS, isOfAlgorithm('create'));
  await ours.next('the end', LIMIT_MS, isOfAlgorithm('destroy'));
  await setTimeout(SETTLE_MS);
  const startedMs = started.timeNano / 1e6;
  const createdMs = created.timeNano / 1e6;
  return {
    totalMs: startedMs - began,
    createdMs: createdMs - began,
    steps: {
      ...stepsOf(nodes[kind].log.slice(lines).join(''), began),
      create: createdMs - stateSince(nodes[kind].log.slice(lines).join(''), 'starting'),
      start: startedMs - createdMs,
    },
    ...countOf(ours),
  };
}

async function startUpstream(
  { upstream, theirs }: Bench,
  run: number,
  hasVpn: boolean,
): Promise<Start> {
  theirs.clear();
  const totalMs = hasVpn ? await upstream.startWithVpn(run) : await upstream.startWithout(run);
  await upstream.end(run);
  await upstream.forgetPorts();
  await setTimeout(SETTLE_MS);
  const { containers, execs } = countOf(theirs);
  // The rules are forgotten by an exec of ours.
  return { totalMs, createdMs: totalMs, steps: {}, containers, execs: execs - 1 };
}

const isOfAlgorithm =
  (action: string) =>
  ({ Type, Action, Actor }: EngineWatch['events'][number]): boolean =>
    Type === 'container' && Action === action && Actor.Attributes['v6.kind'] === 'algorithm';

function countOf({ events }: EngineWatch): { containers: number; execs: number } {
  const ofContainers = events.filter(({ Type }) => Type === 'container');
  return {
    containers: ofContainers.filter(({ Action }) => Action === 'create').length,
    execs: ofContainers.filter(({ Action }) => Action.startsWith('exec_create')).length,
  };
}

interface StateLine {
  readonly state: string;
  readonly atMs: number;
}

function statesOf(log: string): readonly StateLine[] {
  return log
    .split('\n')
    .filter((line) => line.includes('A run changed its state'))
    .map((line) => JSON.parse(line) as { state: string; time: string })
    .map(({ state, time }) => ({ state, atMs: Date.parse(time) }));
}

function stateSince(log: string, wanted: string): number {
  return statesOf(log).find(({ state }) => state === wanted)?.atMs ?? Number.NaN;
}

/** Milliseconds that the run spent in each state before its container was made. */
function stepsOf(log: string, began: number): Record<string, number> {
  const states = statesOf(log);
  const until = states.findIndex(({ state }) => state === 'starting');
  const steps: Record<string, number> = { 'to the node': (states[0]?.atMs ?? Number.NaN) - began };
  for (let at = 0; at < until; at += 1) {
    const [one, next] = [states[at], states[at + 1]];
    if (one !== undefined && next !== undefined) steps[one.state] = next.atMs - one.atMs;
  }
  return steps;
}

function documentOf(rounds: readonly Round[]): BenchDocument {
  const figures = [
    figuresOf(
      'v6',
      true,
      rounds.map(({ v6With }) => v6With),
    ),
    figuresOf(
      'v6',
      false,
      rounds.map(({ v6Without }) => v6Without),
    ),
    figuresOf(
      'upstream',
      true,
      rounds.map(({ upstreamWith }) => upstreamWith),
    ),
    figuresOf(
      'upstream',
      false,
      rounds.map(({ upstreamWithout }) => upstreamWithout),
    ),
  ] as const;
  const [v6, , upstream] = figures;
  const made = added(rounds, 'createdMs', ['v6With', 'v6Without']);
  const whole = added(rounds, 'totalMs', ['v6With', 'v6Without']);
  const theirs = added(rounds, 'totalMs', ['upstreamWith', 'upstreamWithout']);
  return {
    name: 'task-start',
    unit: 'ms',
    figures: [
      ...figures,
      { added: 'v6, until the container is made', ...made },
      { added: 'v6, until its process runs', ...whole },
      { added: 'upstream, until its process runs', ...theirs },
    ],
    ratios: [
      { what: 'whole start with VPN, upstream to v6', ratio: round(upstream.p50 / v6.p50) },
      // Where the noise of the machine is larger than what we add, there is no ratio.
      ...(Math.min(made.p50, whole.p50) < 1
        ? []
        : [{ what: 'added, upstream to v6', ratio: round(theirs.p50 / whole.p50) }]),
    ],
    goals: [
      atMost('ms added until the container is made, p50 of the pairs', made.p50, 50),
      atMost('ms added until its process runs, p50 of the pairs', whole.p50, 50),
      atMost('containers for a task', v6.containers, 1),
      atMost('execs for a task', v6.execs, 0),
      atLeast('starts measured', rounds.length, 20),
    ],
  };
}

/** What the VPN adds, round by round: the two starts of a round are a second apart, so the machine is as fast for both. */
function added(
  rounds: readonly Round[],
  figure: 'totalMs' | 'createdMs',
  [one, other]: readonly [keyof Round, keyof Round],
): Spread {
  return spread(rounds.map((row) => row[one][figure] - row[other][figure]));
}

function figuresOf(
  who: TaskStartFigures['who'],
  vpn: boolean,
  starts: readonly Start[],
): TaskStartFigures {
  const names = [...new Set(starts.flatMap(({ steps }) => Object.keys(steps)))];
  const inSteps = (figure: 'p50' | 'max'): Record<string, number> =>
    Object.fromEntries(
      names.map((name) => [name, spread(starts.map(({ steps }) => steps[name] ?? 0))[figure]]),
    );
  return {
    who,
    vpn,
    containers: Math.max(...starts.map(({ containers }) => containers)),
    execs: Math.max(...starts.map(({ execs }) => execs)),
    ...spread(starts.map(({ totalMs }) => totalMs)),
    ...(names.length > 0 ? { steps: inSteps('p50'), slowest: inSteps('max') } : {}),
  };
}
