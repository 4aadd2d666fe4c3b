import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { recoverRuns } from '../../../../src/node/runs/recovery.ts';
import { NodeWorld, RANGE } from '../../../fakes/node-world.ts';

/** The server answers so many words that a run is active with 500; as a Python server does whose database was restarted. */
function stumbleOverActive({ coordinator }: NodeWorld, times: number): void {
  const { runs } = coordinator;
  const patch = runs.patch.bind(runs);
  let left = times;
  runs.patch = async (id, changes) => {
    left -= Number(changes.status === 'active');
    if (changes.status === 'active' && left >= 0)
      throw new V6Error('V6_SERVER_REFUSED', 'an error', { details: { status: 500 } });
    await patch(id, changes);
  };
}

async function pass(world: NodeWorld, turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) {
    await world.clock.turn(15_000);
    await world.settle();
  }
}

describe('a word about a living run that the server stumbles over', () => {
  it('is said again, and the algorithm goes on', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    stumbleOverActive(world, 3);
    await world.sync();
    await pass(world, 4);
    expect(run).toMatchObject({ status: 'active', ends: 0 });
    expect(world.isRunning(run.id)).toBe(true);
  });

  it('is said again for an algorithm that outlived its daemon', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    await world.manager.stop('left');
    stumbleOverActive(world, 3);
    const next = new NodeWorld({ survivors: world });
    const open = await world.coordinator.runs.listOpen();
    const recovery = await recoverRuns(next.deps, open, RANGE);
    await next.vpn.start(await next.slots.prepare(recovery.busySlots));
    next.manager.adopt(recovery);
    await next.settle();
    await pass(next, 4);
    expect(run).toMatchObject({ status: 'active', ends: 0 });
    expect(next.isRunning(run.id)).toBe(true);
  });

  it('ends the run when the server stumbles over it again and again', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    stumbleOverActive(world, Infinity);
    await world.sync();
    await pass(world, 40);
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(world.engine.held().containers).toEqual([]);
  });
});
