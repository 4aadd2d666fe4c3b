import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { recoverRuns } from '../../../../src/node/runs/recovery.ts';
import { NodeWorld, RANGE, type WorldOptions } from '../../../fakes/node-world.ts';

/** A node with one run whose algorithm runs. */
async function running(options: WorldOptions = {}) {
  const world = await new NodeWorld(options).ready();
  const run = world.coordinator.add({ image: 'echo:1' });
  await world.sync();
  expect(run.status).toBe('active');
  /** The next daemon on the same host, with the same server. */
  const next = async (): Promise<NodeWorld> => {
    const after = new NodeWorld({ survivors: world });
    const open = await world.coordinator.runs.listOpen();
    const recovery = await recoverRuns(after.deps, open, RANGE);
    await after.slots.prepare(recovery.busySlots);
    after.gate.openForRuns();
    after.manager.adopt(recovery);
    await after.settle();
    return after;
  };
  /** As long as nobody looks, time goes by. */
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second += 1) {
      await world.clock.turn(1000);
      await world.settle();
    }
  };
  return { world, run, next, pass, container: world.container(run.id) };
}

describe('an algorithm whose engine goes away', () => {
  it('goes on where the engine leaves it alone, and ends as itself', async () => {
    const { world, run, pass, container } = await running();
    world.engine.goAway();
    await pass(30);
    world.engine.comeBack();
    await pass(6);
    expect(run).toMatchObject({ status: 'active', ends: 0 });
    world.engine.end(container, 0);
    await pass(1);
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
    expect(world.engine.held().containers).toEqual([]);
  });

  it.each([137, 143, 255])(
    'and ends it with %i has failed, and its log says why',
    async (exitCode) => {
      const { world, run, pass } = await running();
      world.engine.goAway({ exitCode, at: world.clock.now() });
      await pass(10);
      world.engine.comeBack();
      await pass(6);
      expect(run).toMatchObject({ status: 'failed', ends: 1 });
      expect(run.log).toContain(
        `engine was stopped or restarted while the algorithm ran (exit status ${exitCode}`,
      );
      expect(run.finishedAt).toBe('2030-01-01T00:00:00.000Z');
      expect(world.engine.held().containers).toEqual([]);
      expect(world.slots.uses().every((use) => use.run === null)).toBe(true);
    },
  );

  it('and is told of it by SIGTERM has no result when it leaves none', async () => {
    const { world, run, pass } = await running();
    const folder = world.files.folders.get(run.id);
    if (folder) folder.output = '';
    world.engine.goAway({ exitCode: 0, at: world.clock.now() });
    world.engine.comeBack();
    await pass(2);
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
  });

  it('has completed when it ended well meanwhile, with its result', async () => {
    const { world, run, pass } = await running();
    world.engine.goAway({ exitCode: 0, at: world.clock.now() });
    world.engine.comeBack();
    await pass(2);
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
    expect(run.result).not.toBeNull();
  });

  it('has crashed when it ended long before, or by itself', async () => {
    for (const end of [
      { exitCode: 137, earlier: 60_000 },
      { exitCode: 1, earlier: 0 },
    ]) {
      const { world, run, pass } = await running();
      const at = new Date(world.clock.now().getTime() - end.earlier);
      world.engine.goAway({ exitCode: end.exitCode, at });
      world.engine.comeBack();
      await pass(4);
      expect(run).toMatchObject({ status: 'crashed', ends: 1 });
    }
  });

  it('has failed too when that engine still tells of its end, and goes then', async () => {
    const { world, run, pass, container } = await running();
    world.engine.end(container, 143);
    await world.settle();
    expect(run.ends).toBe(0);
    world.engine.goAway();
    await pass(10);
    expect(run.ends).toBe(0);
    world.engine.comeBack();
    await pass(6);
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
  });

  it('is ended when a user wants that, as soon as the engine is back', async () => {
    const { world, run, pass } = await running();
    world.engine.goAway();
    await pass(1);
    const kill_list = [{ run_id: run.id, task_id: run.task.id, organization_id: 2 }];
    world.manager.kill({ collaboration_id: 1, kill_list });
    await pass(8);
    expect(run.ends).toBe(0);
    world.engine.comeBack();
    await pass(6);
    expect(run).toMatchObject({ status: 'killed by user', ends: 1 });
    expect(world.engine.held().containers).toEqual([]);
  });
});

describe('a run that starts while the engine is away', () => {
  it('waits for it, and its algorithm is started once', async () => {
    const world = await new NodeWorld().ready();
    world.engine.goAway();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    expect(run.status).toBe('initializing');
    world.engine.comeBack();
    await world.clock.turn(1000);
    await world.settle();
    expect(run.status).toBe('active');
  });

  it('does not run an algorithm twice whose start was never answered', async () => {
    const world = new NodeWorld();
    const start = world.engine.containers.start.bind(world.engine.containers);
    let starts = 0;
    world.engine.containers.start = async (id) => {
      starts += 1;
      await start(id);
      world.engine.goAway({ exitCode: 137, at: world.clock.now() });
      await world.engine.containers.find(id);
    };
    const again = await new NodeWorld({ survivors: world }).ready();
    const run = again.coordinator.add({ image: 'echo:1' });
    await again.sync();
    world.engine.comeBack();
    for (let second = 0; second < 4; second += 1) {
      await again.clock.turn(1000);
      await again.settle();
    }
    expect(starts).toBe(1);
    expect(run).toMatchObject({ status: 'crashed', ends: 1 });
  });
});

describe('a node that stops because its engine does', () => {
  it('reports the runs with that cause at once, and asks the engine for nothing', async () => {
    const { world, run } = await running();
    world.engine.goAway();
    await world.manager.stop('engine-stopped');
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(run.log).toContain('engine was stopped');
    expect(world.engine.held().containers).toHaveLength(1);
  });

  it('leaves the runs to the next daemon where algorithms outlive the engine', async () => {
    const { world, run, next, container } = await running();
    world.engine.goAway();
    await world.manager.stop('left');
    expect(run).toMatchObject({ status: 'active', ends: 0 });
    world.engine.comeBack();
    const after = await next();
    world.engine.end(container, 0);
    await after.settle();
    await after.clock.turn(1000);
    await after.settle();
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
  });

  it('leaves to the next daemon also what has ended and was not collected yet', async () => {
    const { world, run, next, container } = await running({
      engine: { program: () => ({ output: 'hello\n' }) },
    });
    const { containers } = world.engine;
    const logs = containers.logs.bind(containers);
    containers.logs = async () => {
      world.engine.goAway();
      throw new V6Error('V6_ENGINE_MISSING', 'away');
    };
    world.engine.end(container, 0);
    await world.settle();
    await world.manager.stop('left');
    world.engine.comeBack();
    containers.logs = logs;
    await next();
    expect(run).toMatchObject({ status: 'completed', ends: 1, log: 'hello\n' });
  });
});

describe('after a restart of engine and node together', () => {
  it('an algorithm that ended with the VPN client has failed with that cause', async () => {
    const { world, run, next } = await running();
    const client = await world.engine.containers.create({
      name: 'client',
      image: 'echo:1',
      labels: { 'v6.kind': 'vpn-client', 'v6.scope': 'user', 'v6.node': 'alpha' },
      capabilities: [],
    });
    await world.engine.containers.start(client);
    world.engine.goAway({ exitCode: 137, at: new Date('2030-01-01T00:00:07Z') });
    world.engine.comeBack();
    await next();
    expect(run).toMatchObject({
      status: 'failed',
      ends: 1,
      finishedAt: '2030-01-01T00:00:07.000Z',
    });
    expect(run.log).toContain('engine was stopped or restarted');
  });

  it('one that was ended alone has crashed, with the moment that the engine gives', async () => {
    const { world, run, next } = await running();
    world.engine.goAway({ exitCode: 137, at: new Date('2030-01-01T00:00:07Z') });
    world.engine.comeBack();
    await next();
    expect(run).toMatchObject({
      status: 'crashed',
      ends: 1,
      finishedAt: '2030-01-01T00:00:07.000Z',
    });
  });

  it.each(['ended', 'gone'])(
    'the ports of one that is %s are nobody else’s until the server has cleared them',
    async (kind) => {
      const { world, run, next, container } = await running();
      world.engine.goAway({ exitCode: 0, at: world.clock.now() });
      world.engine.comeBack();
      if (kind === 'gone') await world.engine.containers.remove(container);
      const { runs, ports } = world.coordinator;
      const clear = runs.clearPorts.bind(runs);
      let answer = (): void => undefined;
      runs.clearPorts = async (id, signal) => {
        if (id === run.id)
          await new Promise<void>((resolve) => {
            answer = resolve;
          });
        await clear(id, signal);
      };
      const after = await next();
      await after.vpn.start(after.slots.uses().map(({ slot }) => slot));
      after.vpn.up('10.206.0.5');
      const other = world.coordinator.add({ image: 'echo:1' });
      await after.sync();
      expect(other.status).toBe('active');
      expect(ports.map(({ port }) => port)).toEqual([49152, 49153]);
      answer();
      await after.settle();
      expect(run.ends).toBe(1);
      expect(after.ports.held().map((lease) => lease.run)).toEqual([other.id]);
    },
  );

  it('a living run keeps its ports where the record of an ended one has them too', async () => {
    const { world, run, next, container } = await running();
    const living = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    const [ended, other] = [run, living].map(({ id }) => world.files.records.get(id));
    if (ended === undefined || other === undefined) throw new Error('no records');
    const outcome = { status: 'failed', log: '', finishedAt: ended.startedAt } as const;
    world.files.records.set(run.id, { ...ended, ports: other.ports, outcome });
    world.engine.goAway();
    world.engine.comeBack();
    await world.engine.containers.remove(container);
    const after = await next();
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(living).toMatchObject({ status: 'active', ends: 0 });
    expect(after.ports.held().map((lease) => lease.run)).toEqual([living.id]);
  });
});

describe('a container that no run wants', () => {
  it('is removed with the next reading of the open runs, and its slot is free again', async () => {
    const { world, run } = await running();
    world.engine.failAt('containers.remove', 1, 'V6_ENGINE_REQUEST');
    world.engine.end(world.container(run.id), 0);
    await world.settle();
    expect(run.ends).toBe(1);
    expect(world.engine.held().containers).toHaveLength(1);
    await world.sync();
    expect(world.engine.held().containers).toEqual([]);
    expect(world.slots.uses().every((use) => use.run === null)).toBe(true);
  });

  it('does not keep the others from being removed when the engine cannot remove it', async () => {
    const world = await new NodeWorld().ready();
    const [first, second] = [1, 2].map(() => world.coordinator.add({ image: 'echo:1' }).id);
    await world.sync();
    const { containers } = world.engine;
    const remove = containers.remove.bind(containers);
    containers.remove = () => Promise.reject(new V6Error('V6_ENGINE_REQUEST', 'busy'));
    for (const run of [first, second]) world.engine.end(world.container(run as number), 0);
    await world.settle();
    const stuck = (await containers.find(world.container(first as number)))?.id;
    containers.remove = async (id) => {
      if (id === stuck) throw new V6Error('V6_ENGINE_REQUEST', 'busy');
      await remove(id);
    };
    await world.sync();
    expect(world.engine.held().containers).toEqual([world.container(first as number)]);
    expect(world.slots.uses().flatMap((use) => use.run ?? [])).toEqual([first]);
  });

  it('frees its slot also when somebody else removed it', async () => {
    const { world, run, container } = await running();
    world.engine.failAt('containers.remove', 1, 'V6_ENGINE_REQUEST');
    world.engine.end(container, 0);
    await world.settle();
    await world.engine.containers.remove(container);
    await world.sync();
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
    expect(world.slots.uses().every((use) => use.run === null)).toBe(true);
  });

  it('is looked for no more once the runs are left to the next daemon', async () => {
    const { world, run } = await running();
    const { containers } = world.engine;
    const list = containers.list.bind(containers);
    let answer = (): void => undefined;
    containers.list = async (labels) => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return list(labels);
    };
    await world.sync();
    await world.manager.stop('left');
    answer();
    await world.settle();
    expect(world.isRunning(run.id)).toBe(true);
    expect(world.slots.uses().some((use) => use.run === run.id)).toBe(true);
  });

  it('is the only witness of an end that cannot be written down: it stays until that is told', async () => {
    const { world, run, container } = await running();
    world.files.saveRecord = () => Promise.reject(new Error('no space left'));
    world.coordinator.isAway = true;
    world.engine.end(container, 0);
    await world.settle();
    expect(world.engine.held().containers).toHaveLength(1);
    world.coordinator.isAway = false;
    await world.clock.turn(1000);
    await world.settle();
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
    expect(world.engine.held().containers).toEqual([]);
  });

  it('stays for the next daemon when that end can be neither written down nor told', async () => {
    const { world, run, next, container } = await running();
    const patch = world.coordinator.runs.patch.bind(world.coordinator.runs);
    world.coordinator.runs.patch = () =>
      Promise.reject(new V6Error('V6_SERVER_REFUSED', 'an error', { details: { status: 500 } }));
    world.files.saveRecord = () => Promise.reject(new Error('no space left'));
    world.engine.end(container, 0);
    for (let i = 0; i < 40; i += 1) await world.clock.turn(15_000);
    await world.sync();
    expect(world.engine.held().containers).toHaveLength(1);
    world.coordinator.runs.patch = patch;
    await next();
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
  });

  it('is removed after such an end when a user ended it', async () => {
    const { world, run } = await running();
    world.coordinator.runs.patch = () =>
      Promise.reject(new V6Error('V6_SERVER_REFUSED', 'an error', { details: { status: 500 } }));
    world.files.saveRecord = () => Promise.reject(new Error('no space left'));
    const kill_list = [{ run_id: run.id, task_id: run.task.id, organization_id: 2 }];
    world.manager.kill({ collaboration_id: 1, kill_list });
    for (let i = 0; i < 40; i += 1) await world.clock.turn(15_000);
    await world.sync();
    expect(world.engine.held().containers).toEqual([]);
  });

  it('is not started when a Python server has it open as killed', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    run.status = 'killed by user';
    await world.sync();
    expect(run).toMatchObject({ status: 'killed by user', ends: 1 });
    expect(world.engine.held().containers).toEqual([]);
  });
});
