import { describe, expect, it } from 'vitest';
import type { RunStatus } from '../../../../src/core/protocol/entities.ts';
import { recoverRuns } from '../../../../src/node/runs/recovery.ts';
import type { HeldRun } from '../../../fakes/coordinator.ts';
import { Crash, type CrashPoint } from '../../../fakes/crash.ts';
import { NodeWorld, RANGE, type WorldOptions } from '../../../fakes/node-world.ts';

/** What happens to the algorithm once it runs, whoever is there to see it. */
type Fate = { readonly exitCode: number } | 'killed';

/** More steps than any of these lives has. */
const STEPS_MAX = 60;

interface Life {
  readonly world: NodeWorld;
  readonly crash: Crash;
}

/** A daemon from its recovery on, up to its crash or as far as it goes. */
async function live(options: WorldOptions, point?: CrashPoint): Promise<Life> {
  const crash = new Crash(point);
  const world = new NodeWorld({ ...options, around: crash.around });
  void begin(world);
  await world.settle();
  return { world, crash };
}

async function begin(world: NodeWorld): Promise<void> {
  const open = await world.deps.runs.listOpen();
  const recovery = await recoverRuns(world.deps, open, RANGE);
  await world.slots.prepare(recovery.busySlots);
  world.vpn.up('10.206.0.5');
  world.gate.openForRuns();
  world.manager.adopt(recovery);
  world.manager.requestSync();
}

/** The algorithm meets its fate, and all that can go on does. */
async function meetFate({ world }: Life, run: HeldRun, fate: Fate): Promise<void> {
  if (fate === 'killed') {
    if (!world.isRunning(run.id) || run.finishedAt !== null) return;
    const kill_list = [{ run_id: run.id, task_id: run.task.id, organization_id: 2 }];
    world.manager.kill({ collaboration_id: 1, kill_list });
  } else {
    world.engine.end(world.container(run.id), fate.exitCode);
  }
  await world.settle();
}

/** Crashes at the points, one daemon after the other; the last lives on. Says how many steps each had. */
async function drama(fate: Fate, points: readonly CrashPoint[]) {
  const first = new NodeWorld();
  const run = first.coordinator.add({ image: 'echo:1' });
  const starts = countStarts(first);
  let survivors: WorldOptions['survivors'] = first;
  const steps: number[] = [];
  for (const point of [...points, undefined]) {
    const life = await live({ survivors }, point);
    await meetFate(life, run, fate);
    if (point === undefined) {
      for (let turn = 0; turn < 4; turn += 1) {
        await life.world.clock.turn(2000);
        await life.world.settle();
      }
      await meetFate(life, run, fate);
      return { run, world: life.world, starts: starts(), steps };
    }
    steps.push(life.crash.steps);
    survivors = life.world;
  }
  throw new Error('the last daemon has no point');
}

function countStarts({ engine }: NodeWorld): () => number {
  let count = 0;
  const start = engine.containers.start.bind(engine.containers);
  engine.containers.start = async (id) => {
    const before = await engine.containers.find(id);
    await start(id);
    if (before?.state === 'created') count += 1;
  };
  return () => count;
}

/** Everything that a daemon could leave, by name. */
function leaks(world: NodeWorld) {
  return {
    containers: world.engine.held().containers,
    portsAtServer: world.coordinator.ports,
    leases: world.ports.held(),
    mappings: [...world.vpn.mappings.keys()],
    busySlots: world.slots.uses().filter(({ run }) => run !== null),
    callers: [...world.proxy.callers.keys()],
    folders: [...world.files.folders.keys()],
    records: [...world.files.records.keys()],
  };
}

const NOTHING = {
  containers: [],
  portsAtServer: [],
  leases: [],
  mappings: [],
  busySlots: [],
  callers: [],
  folders: [],
  records: [],
};

const FATES: readonly (readonly [string, Fate, RunStatus])[] = [
  ['ends well', { exitCode: 0 }, 'completed'],
  ['crashes', { exitCode: 3 }, 'crashed'],
  ['is killed by a user', 'killed', 'killed by user'],
];

describe.each(FATES)(
  'an algorithm that %s, under a daemon that is killed at any step',
  (_, fate, truth) => {
    it.each(['before', 'after'] as const)(
      '%s its effect: its run ends once, and truly',
      async (when) => {
        let step = 0;
        for (; step < STEPS_MAX; step += 1) {
          const { run, world, starts, steps } = await drama(fate, [{ step, when }]);
          const at = `step ${step}: ${run.status}, started ${starts} times, log ${run.log}`;
          expect(run.ends, at).toBe(1);
          expect(starts, at).toBeLessThanOrEqual(1);
          // What was never started has failed, and says so. A kill that only the dead daemon heard of is no truth of the run.
          if (starts === 0) expect(run.log, at).toMatch(/before it had started|not started yet/);
          expect(starts === 0 ? 'failed' : truth, at).toBe(run.status);
          if (run.status === 'completed') expect(run.result, at).not.toBeNull();
          expect(leaks(world), at).toEqual(NOTHING);
          if ((steps[0] ?? 0) <= step) break;
        }
        expect(step).toBeGreaterThan(15);
        expect(step).toBeLessThan(STEPS_MAX);
      },
    );
  },
);

describe('two crashes in a row', () => {
  it('end every run once as well, whatever their steps', async () => {
    for (let first = 0; first < STEPS_MAX; first += 1) {
      let last = 0;
      for (let second = 0; second < STEPS_MAX; second += 1) {
        const points = [first, second].map((step) => ({ step, when: 'after' as const }));
        const { run, world, starts, steps } = await drama({ exitCode: 0 }, points);
        const at = `steps ${first} and ${second}: ${run.status}, started ${starts} times`;
        expect({ ends: run.ends, starts: starts <= 1 }, at).toEqual({ ends: 1, starts: true });
        expect(starts === 0 ? 'failed' : 'completed', at).toBe(run.status);
        expect(leaks(world), at).toEqual(NOTHING);
        last = steps[0] ?? 0;
        if ((steps[1] ?? 0) <= second) break;
      }
      if (last <= first) return;
    }
    throw new Error('the first daemon never lived to its end');
  });
});
