import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { recoverRuns } from '../../../../src/node/runs/recovery.ts';
import { RunRegistration } from '../../../../src/node/runs/run-registration.ts';
import { NodeWorld, RANGE } from '../../../fakes/node-world.ts';

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

describe('the ports of a run that outlives its daemon', () => {
  /** A run, and what a peer can read of its ports at the server while the next daemon carries it on. */
  const carriedOn = async (damage: (world: NodeWorld) => void = () => undefined) => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    await world.manager.stop('left');
    damage(world);
    const { runs, ports } = world.coordinator;
    const readable: number[] = [ports.length];
    const clear = runs.clearPorts.bind(runs);
    runs.clearPorts = async (id) => {
      await clear(id);
      readable.push(ports.length);
    };
    const next = new NodeWorld({ survivors: world });
    const recovery = await recoverRuns(next.deps, await runs.listOpen(), RANGE);
    await next.vpn.start(await next.slots.prepare(recovery.busySlots));
    next.manager.adopt(recovery);
    next.vpn.up('10.206.0.7');
    await next.settle();
    expect(run.status).toBe('active');
    return { world, run, next, ports, readable };
  };

  it('stay at the server all the time, and go with its end', async () => {
    const { world, run, next, ports, readable } = await carriedOn();
    expect(readable).toEqual([1]);
    expect(ports).toMatchObject([{ run: run.id, port: 49_152 }]);
    world.engine.end(world.container(run.id), 0);
    await next.settle();
    await next.clock.turn(2000);
    await next.settle();
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
    expect(readable).toEqual([1, 0]);
  });

  it.each([
    ['are not there', (ports: unknown[]) => ports.splice(0)],
    ['are there twice', (ports: unknown[]) => ports.push(ports[0])],
  ])('are registered anew when they %s', async (_, change) => {
    const { run, ports } = await carriedOn(({ coordinator }) => change(coordinator.ports));
    expect(ports).toMatchObject([{ run: run.id, port: 49_152, protocol: 'tcp' }]);
  });
});

describe('a run that outlives its daemon and cannot have its ports', () => {
  it('ends once with the reason, and leaves nothing behind', async () => {
    const world = await new NodeWorld().ready();
    const [first, second] = [1, 2].map(() => world.coordinator.add({ image: 'echo:1' }));
    await world.sync();
    await world.manager.stop('left');
    const records = [first, second].map((run) => world.files.records.get(run?.id ?? 0));
    const [own, other] = records;
    if (own === undefined || other === undefined) throw new Error('no records');
    world.files.records.set(other.run, { ...other, ports: own.ports });
    const next = new NodeWorld({ survivors: world });
    const open = await world.coordinator.runs.listOpen();
    const recovery = await recoverRuns(next.deps, open, RANGE);
    await next.vpn.start(await next.slots.prepare(recovery.busySlots));
    next.vpn.up('10.206.0.5');
    next.manager.adopt(recovery);
    await next.settle();
    expect(first).toMatchObject({ status: 'active', ends: 0 });
    expect(second).toMatchObject({ status: 'failed', ends: 1 });
    expect(second?.log).toContain('V6_PORTS_EXHAUSTED');
    expect(next.engine.held().containers).toEqual([world.container(own.run)]);
    expect(next.slots.uses().flatMap(({ run }) => run ?? [])).toEqual([own.run]);
    expect(next.ports.held()).toMatchObject([{ run: own.run }]);
    expect(world.coordinator.ports).toMatchObject([{ run: own.run }]);
    expect([...next.files.records.keys()]).toEqual([own.run]);
  });
});

describe('the entries of an earlier daemon', () => {
  const lease = (protocol: 'tcp' | 'udp', tunnelPort: number) =>
    ({ protocol, tunnelPort, port: 8888, label: null }) as const;
  const LEASES = [lease('tcp', 49_152), lease('udp', 49_152), lease('tcp', 49_153)];
  const told = (port: number, protocol?: 'tcp' | 'udp') => ({ port, protocol });

  it.each([
    ['all', [told(49_152, 'udp'), told(49_153, 'tcp'), told(49_152, 'tcp')], false],
    ['those that a server without protocols keeps', [told(49_153), told(49_152)], false],
    ['no', [], true],
    ['some', [told(49_152, 'tcp'), told(49_153, 'tcp')], true],
    ['some, one of them twice', [told(49_152), told(49_152)], true],
    ['other', [told(49_152, 'tcp'), told(49_152, 'udp'), told(49_160, 'tcp')], true],
  ])('are sent again only when need be: the server has %s', async (_, listed, isSent) => {
    const world = await new NodeWorld().ready();
    const registration = new RunRegistration(world.deps, 7, LEASES, world.life.signal);
    registration.takeOver(listed);
    expect(await registration.register()).toBe(true);
    expect(world.coordinator.ports).toHaveLength(isSent ? LEASES.length : 0);
  });
});
