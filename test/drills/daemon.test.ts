import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DrillGround, recordDrill, stretched } from '../support/drill.ts';
import { uptime } from '../support/mesh-flow.ts';
import { MeshLab, type MeshNode, type MeshRun, type MeshTask } from '../support/mesh-lab.ts';
import { nodeOnHost } from '../support/mesh-state.ts';
import { until } from '../support/wait.ts';

/** A new daemon process, its login, and the look at what the one before left. */
const RESTART_MS = 12_000;

const LOST = { status: 'failed', log: expect.stringMatching(/V6_[A-Z_]+/) };

let lab: MeshLab;
let ground: DrillGround;
let node: MeshNode;

beforeAll(async () => {
  lab = await MeshLab.up('drdaem', { config: () => ['algorithm_limits: {memory: 64m}'] });
  ground = await DrillGround.prepare(lab);
  node = lab.node(1);
});
afterAll(() => lab?.remove());

/** A third task besides the two that stay: whatever becomes of it, nothing of it is left and the others go on. */
async function besides(drill: string, work: () => Promise<void>): Promise<void> {
  const before = await lab.snapshot();
  const since = uptime();
  await work();
  await recordDrill({ drill, recoveryMs: (uptime() - since) * 1000 });
  await ground.expectFlows(since, {});
  await ground.expectSame(before);
  await until('new connections pass', stretched(2000), () => ground.passes());
}

const restart = async (): Promise<void> => {
  await node.kill();
  await node.startAgain();
};

/** A run that became active ends by itself, one that did not has ended already: in both cases once, and with a reason. */
async function endOf(task: MeshTask): Promise<{ status: unknown; log: unknown }> {
  const [run] = task.runs as [MeshRun];
  const { status } = await lab.status(run.id, ['active', 'completed', 'crashed', 'failed']);
  if (status === 'active') await writeFile(path.join(node.temporary(run.id), 'go'), '');
  const end = await lab.ended(run.id);
  await until('the node is done with it', 30_000, async () =>
    (await node.openRuns()).every((id) => id !== run.id),
  );
  const later = await lab.world.run(run.id);
  expect({ ...later, ports: [] }).toEqual({ ...end, ports: [] });
  return { status: end.status, log: end.log };
}

describe('a daemon that is killed', () => {
  it('finds its runs and its tunnel again, and no packet was lost over it', async () => {
    await ground.run({
      name: 'daemon killed with running tasks',
      hurt: restart,
      isBack: () => node.isReady(),
      limitMs: RESTART_MS,
    });
    expect((await node.control.status()).runs).toHaveLength(2);
  });

  for (const delayMs of [0, 150, 400]) {
    it(`leaves no doubt about a run that it started ${delayMs} ms before`, async () => {
      await besides(`daemon killed ${delayMs} ms into a start`, async () => {
        const task = await lab.createTask([node]);
        await sleep(delayMs);
        await restart();
        const { status, log } = await endOf(task);
        // Between the server's word that it starts and the record of it on disk nobody can know how far it came.
        if (status !== 'completed') expect({ status, log }).toEqual(LOST);
      });
    });
  }

  it('reports a run that ended while there was none', async () => {
    await besides('daemon killed while a task ends', async () => {
      const task = await lab.startTask([node]);
      const [run] = task.runs as [MeshRun];
      await writeFile(path.join(node.temporary(run.id), 'go'), '');
      await restart();
      expect((await endOf(task)).status).toBe('completed');
      expect(await lab.world.result(run.id)).toBe('"done"');
    });
  });

  it('is killed together with its VPN client', async () => {
    await ground.run({
      name: 'daemon and VPN client killed at once',
      hurt: async () => {
        await lab.docker('kill', node.client);
        await restart();
      },
      isBack: () => node.isReady(),
      limitMs: RESTART_MS + 5000,
      gapMs: 25_000,
      otherGapMs: 25_000,
    });
  });

  it('ends a run whose record was damaged, and says so', async () => {
    await besides('record of a run damaged, daemon killed', async () => {
      const task = await lab.startTask([node]);
      const [run] = task.runs as [MeshRun];
      await node.kill();
      const record = path.join(node.daemon.context.dataDir, 'runs', `${run.id}.json`);
      await writeFile(record, '{"run": ');
      await node.startAgain();
      const { status, log } = await endOf(task);
      expect(status).toBe('failed');
      expect(log).toMatch(/V6_[A-Z_]+/);
    });
  });
});

describe('the coordination server', () => {
  it('is restarted while a task starts', async () => {
    await besides('coordination server restarted while a task starts', async () => {
      const task = await lab.createTask([node]);
      await sleep(150);
      await lab.world.goAway();
      await sleep(500);
      await lab.world.comeBack();
      expect((await endOf(task)).status).toBe('completed');
    });
  });

  it('is away for ten seconds, in which a run ends', async () => {
    await besides('coordination server away 10 s', async () => {
      const task = await lab.startTask([node]);
      const [run] = task.runs as [MeshRun];
      await lab.world.goAway();
      await writeFile(path.join(node.temporary(run.id), 'go'), '');
      await sleep(10_000);
      await lab.world.comeBack();
      expect((await endOf(task)).status).toBe('completed');
      expect(await lab.world.result(run.id)).toBe('"done"');
    });
  });
});

describe('an algorithm', () => {
  it('is killed from outside', async () => {
    await besides('algorithm killed', async () => {
      const task = await lab.startTask([node]);
      await lab.docker('kill', task.runs[0]?.container ?? '');
      expect((await endOf(task)).status).toBe('crashed');
    });
  });

  it('takes more memory than it may', async () => {
    await besides('algorithm out of memory', async () => {
      const task = await lab.createTask([node], { method: 'hog' });
      const { status, log } = await endOf(task);
      expect(status).toBe('crashed');
      expect(log).toMatch(/memory/i);
    });
  });

  it('is killed by its user with connections open', async () => {
    await besides('task killed by its user with open connections', async () => {
      const task = await lab.startTask(lab.nodes);
      const [from, to] = task.runs as [MeshRun, MeshRun];
      const flow = await lab.openFlow(from, to);
      await lab.kill(task);
      for (const { id } of task.runs) expect((await lab.ended(id)).status).toBe('killed by user');
      await until('the connection has ended', 15_000, () => !flow.seen().isOpen);
    });
  });
});

it('a node that is stopped leaves nothing, and starts again without portal with the address it had', async () => {
  await node.stop();
  expect(await node.daemon.held()).toEqual([]);
  expect(await nodeOnHost(lab, node)).toEqual({ rules: [], links: [], routes: [] });
  expect((await lab.world.ask('GET', `/node/${node.id}`)).ip).toBeNull();
  for (const { id } of [ground.near, ...ground.other.runs.slice(0, 1)])
    expect(await lab.world.run(id)).toMatchObject({ status: 'failed' });
  const since = uptime();
  await node.startAgain();
  await recordDrill({ drill: 'node stopped and started', recoveryMs: (uptime() - since) * 1000 });
  const { vpn } = await node.control.status();
  expect(vpn).toMatchObject({ rung: 'existing', portalCalls: 0, vpnAddress: node.vpnAddress });
  const task = await lab.startTask(lab.nodes);
  const flow = await lab.openFlow(...(task.runs as [MeshRun, MeshRun]));
  await flow.close();
  expect(await lab.finish(task)).toEqual(['completed', 'completed']);
});
