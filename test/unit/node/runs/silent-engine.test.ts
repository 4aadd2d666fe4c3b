import { describe, expect, it } from 'vitest';
import { NodeWorld } from '../../../fakes/node-world.ts';

/** As behind a socket that systemd holds: requests are taken, and never answered. */
function fallSilent({ engine }: NodeWorld): void {
  const never = () => new Promise<never>(() => undefined);
  Object.assign(engine.containers, { find: never, list: never, logs: never, remove: never });
  engine.goAway();
}

describe('a node that stops while its engine takes questions and answers none', () => {
  const started = async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    return { world, run };
  };

  const stop = async (world: NodeWorld, cause: 'engine-stopped' | 'left') => {
    const stopped = world.manager.stop(cause);
    await world.clock.turn(1000);
    await stopped;
  };

  it('reports at once a run whose algorithm was asked for', async () => {
    const { world, run } = await started();
    fallSilent(world);
    await world.settle();
    await world.clock.turn(1000);
    await world.settle();
    await stop(world, 'engine-stopped');
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(run.log).toContain('engine was stopped');
  });

  it('reports at once a run whose algorithm was ended by a signal just before', async () => {
    const { world, run } = await started();
    world.engine.end(world.container(run.id), 143);
    await world.settle();
    fallSilent(world);
    await world.clock.turn(2000);
    await world.settle();
    await stop(world, 'engine-stopped');
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(run.log).toContain('engine was stopped');
  });

  it('leaves a run to the next daemon at once', async () => {
    const { world, run } = await started();
    fallSilent(world);
    await world.settle();
    await world.clock.turn(1000);
    await world.settle();
    await stop(world, 'left');
    expect(run).toMatchObject({ status: 'active', ends: 0 });
  });
});

describe('a node that stops while it asks how an algorithm ended', () => {
  it('waits for an engine that answers, and reports what it was', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    const { containers } = world.engine;
    const find = containers.find.bind(containers);
    let answer = (): void => undefined;
    containers.find = async (id) => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return find(id);
    };
    world.engine.end(world.container(run.id), 0);
    await world.settle();
    const stopped = world.manager.stop();
    await world.settle();
    answer();
    await stopped;
    expect(run).toMatchObject({ status: 'completed', ends: 1, result: expect.any(String) });
  });
});
