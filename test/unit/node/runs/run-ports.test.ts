import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { NodeWorld } from '../../../fakes/node-world.ts';

const stumble = () =>
  Promise.reject(new V6Error('V6_SERVER_REFUSED', 'an error', { details: { status: 500 } }));

describe('the ports of a run whose end the server never takes', () => {
  it('are nobody else’s as long as the server has them for it', async () => {
    const world = await new NodeWorld().ready();
    // One port beside its own is left.
    for (let tunnelPort = 49_154; tunnelPort <= 65_534; tunnelPort += 1)
      world.ports.adopt(9999, [{ protocol: 'tcp', port: 1, label: null, tunnelPort }]);
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    const { runs } = world.coordinator;
    const patch = runs.patch.bind(runs);
    runs.patch = (id, changes) => (id === run.id ? stumble() : patch(id, changes));
    runs.clearPorts = stumble;
    world.engine.end(world.container(run.id), 0);
    for (let i = 0; i < 40; i += 1) await world.clock.turn(15_000);
    await world.settle();
    expect(world.manager.list()).toEqual([]);
    const others = [1, 2].map(() => world.coordinator.add({ image: 'echo:1' }));
    await world.sync();
    expect(world.coordinator.ports.map(({ port }) => port)).toEqual([49_152, 49_153]);
    expect(others.map(({ status }) => status)).toEqual(['active', 'failed']);
  });
});
