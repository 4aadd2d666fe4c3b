import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { recoverRuns } from '../../../../src/node/runs/recovery.ts';
import { RunManager } from '../../../../src/node/runs/run-manager.ts';
import { NodeWorld, RANGE } from '../../../fakes/node-world.ts';

const kill = { collaboration_id: 1 };

describe('the runs of a node', () => {
  it('start in order up to max_runs, and the rest when their turn comes', async () => {
    const world = await new NodeWorld({ config: { maxRuns: 2 } }).ready();
    const runs = [1, 2, 3, 4].map(() => world.coordinator.add({ image: 'echo:1' }));
    await world.sync();
    expect(runs.map(({ status }) => status)).toEqual(['active', 'active', 'pending', 'pending']);
    expect(world.manager.queued).toBe(2);
    world.engine.end(world.container(runs[0]?.id ?? 0), 0);
    await world.settle();
    expect(runs.map(({ status }) => status)).toEqual(['completed', 'active', 'active', 'pending']);
  });

  it('let children of a parent that lives elsewhere go ahead of the queue', async () => {
    const world = await new NodeWorld({ config: { maxRuns: 1 } }).ready();
    world.coordinator.livingElsewhere.add(77);
    const first = world.coordinator.add({ image: 'echo:1' });
    const second = world.coordinator.add({ image: 'echo:1' });
    const child = world.coordinator.add({ image: 'echo:1', parent: 77 });
    const orphan = world.coordinator.add({ image: 'echo:1', parent: 78 });
    await world.sync();
    const statuses = [first, second, child, orphan].map(({ status }) => status);
    expect(statuses).toEqual(['active', 'pending', 'active', 'pending']);
  });

  it('ask again for a parent task after the server failed at it', async () => {
    const world = await new NodeWorld({ config: { maxRuns: 1 } }).ready();
    world.coordinator.livingElsewhere.add(77);
    const ask = world.coordinator.runs.hasOpenRuns.bind(world.coordinator.runs);
    world.coordinator.runs.hasOpenRuns = () =>
      Promise.reject(new V6Error('V6_SERVER_REFUSED', 'an error', { details: { status: 500 } }));
    world.coordinator.add({ image: 'echo:1' });
    const child = world.coordinator.add({ image: 'echo:1', parent: 77 });
    await world.sync();
    expect(child.status).toBe('pending');
    world.coordinator.runs.hasOpenRuns = ask;
    await world.sync();
    expect(child.status).toBe('active');
  });

  it('let a parent with all of max_runs for itself get its children and grandchildren done here', async () => {
    const world = await new NodeWorld({ config: { maxRuns: 1 } }).ready();
    const parent = world.coordinator.add({ image: 'echo:1' });
    const stranger = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    const child = world.coordinator.add({ image: 'echo:1', parent: parent.task.id });
    await world.sync();
    const grandchild = world.coordinator.add({ image: 'echo:1', parent: child.task.id });
    await world.sync();
    const statuses = () => [parent, child, grandchild, stranger].map(({ status }) => status);
    expect(statuses()).toEqual(['active', 'active', 'active', 'pending']);
    // From the last to the first, as waiting for each other makes them end.
    for (const run of [grandchild, child, parent]) {
      expect(stranger.status).toBe('pending');
      world.engine.end(world.container(run.id), 0);
      await world.settle();
      await world.clock.turn(1000);
      await world.settle();
    }
    expect(statuses()).toEqual(['completed', 'completed', 'completed', 'active']);
  });

  it('tell their place and what they wait for', async () => {
    const world = await new NodeWorld({ config: { maxRuns: 1 } }).ready();
    world.coordinator.add({ image: 'echo:1' });
    const second = world.coordinator.add({ image: 'echo:1' });
    const orphan = world.coordinator.add({ image: 'echo:1', parent: 78 });
    await world.sync();
    const limit = '1 of 1 runs are active (max_runs)';
    expect(world.manager.queue).toEqual([
      { run: second.id, task: second.task.id, position: 1, reason: limit },
      {
        run: orphan.id,
        task: orphan.task.id,
        position: 2,
        reason: `${limit}, and its parent task 78 is not alive`,
      },
    ]);
  });

  it('take more slots than stand ready when more is needed', async () => {
    const world = await new NodeWorld({ config: { maxRuns: 8, spareSlots: 1 } }).ready();
    for (let i = 0; i < 5; i += 1) world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    const uses = world.slots.uses();
    expect(uses.filter(({ run }) => run !== null)).toHaveLength(5);
    expect(uses.length).toBe(6);
    expect(world.vpn.slots.size).toBe(6);
  });

  it('are started once, however often they are announced', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    world.manager.requestSync(run.task.id);
    world.manager.requestSync();
    world.manager.requestSync(run.task.id);
    await world.settle();
    await world.sync();
    const starts = world.coordinator.journal.filter((line) => line.includes('initializing'));
    expect(starts).toHaveLength(1);
  });

  it('are read again when the server was away', async () => {
    const world = await new NodeWorld().ready();
    world.coordinator.isAway = true;
    await world.sync();
    const run = world.coordinator.add({ image: 'echo:1' });
    world.coordinator.isAway = false;
    await world.clock.turn(2000);
    await world.settle();
    expect(run.status).toBe('active');
  });

  it('fail when an earlier daemon started them and nothing is left of them', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1', startedAt: '2030-01-01T00:00:00' });
    await world.sync();
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(run.log).toContain('restarted');
  });

  it('end when the server holds them for ended, also when the order was missed', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    Object.assign(run, { status: 'killed by user', finishedAt: '2030-01-01T00:00:00' });
    await world.sync();
    expect(world.engine.held().containers).toEqual([]);
    expect(run.ends).toBe(0);
    expect(world.ports.held()).toEqual([]);
  });

  it('end when a Python server has them open as killed, and the order was missed', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    run.status = 'killed by user';
    await world.sync();
    expect(run).toMatchObject({ status: 'killed by user', ends: 1 });
    expect(world.engine.held().containers).toEqual([]);
  });
});

describe('an order to end runs', () => {
  const start = async () => {
    const world = await new NodeWorld({ config: { maxRuns: 2 } }).ready();
    const runs = [1, 2, 3].map(() => world.coordinator.add({ image: 'echo:1' }));
    await world.sync();
    const item = (index: number) => ({
      run_id: runs[index]?.id ?? 0,
      task_id: runs[index]?.task.id ?? 0,
      organization_id: 2,
    });
    const statuses = () => runs.map(({ status }) => status);
    return { world, runs, item, statuses };
  };

  it('ends the listed runs of this organization once, and no others', async () => {
    const { world, runs, item, statuses } = await start();
    world.manager.kill({ ...kill, kill_list: [item(0), { ...item(1), organization_id: 9 }] });
    await world.settle();
    expect(statuses()).toEqual(['killed by user', 'active', 'active']);
    expect(runs[0]?.ends).toBe(1);
    expect(world.isRunning(runs[0]?.id ?? 0)).toBe(false);
  });

  it('ends a run at once, also when the engine has not answered yet for its log', async () => {
    const world = await new NodeWorld().ready();
    world.engine.containers.followLogs = async function* () {
      await new Promise<never>(() => undefined);
      yield '';
    };
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    const kill_list = [{ run_id: run.id, task_id: run.task.id, organization_id: 2 }];
    world.manager.kill({ ...kill, kill_list });
    await world.settle();
    expect(run).toMatchObject({ status: 'killed by user', ends: 1 });
    expect(world.engine.held().containers).toEqual([]);
  });

  it('ends a run that waits, without ever starting it', async () => {
    const { world, item, statuses } = await start();
    world.manager.kill({ ...kill, kill_list: [item(2)] });
    await world.settle();
    expect(statuses()).toEqual(['active', 'active', 'killed by user']);
    expect(world.engine.held().containers).toHaveLength(2);
  });

  it.each([
    ['with an empty list', { kill_list: [] }],
    ['without list and node', {}],
    ['for another node', { node_id: 4 }],
    ['for another collaboration', { collaboration_id: 2, node_id: 3 }],
  ])('%s ends nothing', async (_what, order) => {
    const { world, statuses } = await start();
    world.manager.kill({ ...kill, ...order });
    await world.settle();
    expect(statuses()).toEqual(['active', 'active', 'pending']);
  });

  it('for the whole node ends all of its runs', async () => {
    const { world, statuses } = await start();
    world.manager.kill({ ...kill, node_id: 3 });
    await world.settle();
    expect(statuses()).toEqual(['killed by user', 'killed by user', 'killed by user']);
  });
});

describe('a stop', () => {
  it('reports active runs as failed with its cause, and leaves waiting ones open', async () => {
    const world = await new NodeWorld({ config: { maxRuns: 1 } }).ready();
    const [first, second] = [1, 2].map(() => world.coordinator.add({ image: 'echo:1' }));
    await world.sync();
    await world.manager.stop();
    expect(first).toMatchObject({ status: 'failed', ends: 1 });
    expect(first?.log).toContain('node stopped');
    expect(second).toMatchObject({ status: 'pending', ends: 0, finishedAt: null });
    expect(world.engine.held().containers).toEqual([]);
  });

  it('ends in time when the server is away; the next daemon tells it', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    world.coordinator.isAway = true;
    const stopped = world.manager.stop();
    await world.settle();
    await world.clock.turn(5000);
    await stopped;
    expect(world.engine.held().containers).toEqual([]);
    world.coordinator.isAway = false;
    const open = await world.coordinator.runs.listOpen();
    const recovery = await recoverRuns(world.deps, open, RANGE);
    new RunManager(world.deps, world.life.signal).adopt(recovery);
    await world.settle();
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(run.log).toContain('node stopped');
  });
});

describe('after a crash of the daemon', () => {
  it('a run whose container lives is carried on to its result', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    // The daemon is gone; what the engine, the server and the disk hold is all that is left.
    const next = new NodeWorld();
    Object.assign(next.files, { folders: world.files.folders, records: world.files.records });
    const deps = { ...next.deps, engine: world.engine, runs: world.coordinator.runs };
    const open = await world.coordinator.runs.listOpen();
    const recovery = await recoverRuns(deps, open, RANGE);
    expect([...recovery.busySlots]).toEqual([[0, run.id]]);
    await next.slots.prepare(recovery.busySlots);
    next.vpn.up('10.206.0.5');
    new RunManager(deps, next.life.signal).adopt(recovery);
    await next.settle();
    expect(next.vpn.mappings.get(run.id)).toMatchObject([{ tunnelPort: 49152 }]);
    expect(next.ports.held()).toHaveLength(1);
    world.engine.end(world.container(run.id), 0);
    await next.settle();
    await next.clock.turn(1000);
    await next.settle();
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
    expect(world.engine.held().containers).toEqual([]);
  });

  it('containers and files of runs that the server does not know are removed', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    world.coordinator.held.delete(run.id);
    const recovery = await recoverRuns(world.deps, [], RANGE);
    expect(recovery.runs).toEqual([]);
    expect(world.engine.held().containers).toEqual([]);
    expect([...world.files.records]).toEqual([]);
  });
});
