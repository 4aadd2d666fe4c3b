import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DaemonStatus } from '../../src/core/protocol/daemon.ts';
import type { Slot } from '../../src/core/vpn/slot.ts';
import { MeshLab, type MeshNode, type MeshRun, type MeshTask } from '../support/mesh-lab.ts';
import { until } from '../support/wait.ts';

const SPARE = 2;
/** A look is due 0.1 s after an event; the rest is the engine's time on a busy machine. */
const REPAIR_MS = 15_000;

/** Two real nodes with a task; somebody changes what one of them has in the engine while its run goes on. */
describe('the network of a node that somebody changes', () => {
  let lab: MeshLab;
  let node: MeshNode;
  let task: MeshTask;
  let near: MeshRun;
  let slot: Slot;
  let address: string;

  beforeAll(async () => {
    lab = await MeshLab.up('reconc', {
      config: () => [`spare_slots: ${SPARE}`, 'max_runs: 1'],
    });
    node = lab.node(1);
    task = await lab.startTask([node, lab.node(2)]);
    const [first, far] = task.runs;
    if (first === undefined || far === undefined) throw new Error('the task has too few runs');
    near = first;
    slot = await lab.slotOf(near);
    address = await lab.addressOf(near, far);
    expect(await lab.ask(near, address)).not.toBe('');
  });
  afterAll(() => lab?.remove());

  const reaches = async (): Promise<boolean> => (await lab.ask(near, address)) !== '';
  const status = (): Promise<DaemonStatus> => node.control.status();
  /** What the log says of repairs since it was emptied. */
  const repairs = (): Record<string, unknown>[] =>
    node
      .log()
      .split('\n')
      .filter((line) => line.includes('The network was not as it must be; repaired'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  /** Once it was repaired, nothing more is: what the repair itself causes is no reason for another. */
  const isQuiet = async (): Promise<void> => {
    await until('a whole check found nothing', REPAIR_MS, async () => {
      const { network: before } = await status();
      await new Promise((resolve) => setTimeout(resolve, 2500));
      const { network: after } = await status();
      return (
        before?.repairs === after?.repairs &&
        before?.lastCheck === after?.lastCheck &&
        after?.failing.length === 0
      );
    });
  };

  it('is checked at the start, and nothing is to be done', async () => {
    const { network } = await until(
      'the first check',
      REPAIR_MS,
      status,
      (now) => now.network?.lastCheck !== null,
    );
    expect(network?.failing).toEqual([]);
  });

  it('gets a slot of a running algorithm back whose network was removed under it', async () => {
    node.daemon.log.length = 0;
    for (const name of [near.container, node.client])
      await lab.docker('network', 'disconnect', '--force', slot.network, name);
    await lab.engine.networks.remove(slot.network);
    await until('the algorithm reaches its peer again', REPAIR_MS, reaches);
    expect((await lab.engine.containers.find(near.container))?.networks[slot.network]).toBe(
      slot.algorithm,
    );
    // It is told when the whole check is over, and packets pass before that.
    const what = `algorithm ${near.container} in the slot network ${slot.network}`;
    const told = await until('the repair is told', REPAIR_MS, () =>
      repairs().find((one) => one.what === what),
    );
    expect(told).toMatchObject({
      wanted: slot.algorithm,
      changedBy: expect.stringMatching(`network (disconnect|destroy) ${slot.network}`) as string,
    });
    expect((await lab.world.run(near.id)).status).toBe('active');
    await isQuiet();
  });

  it('puts a container out of a slot that is not the run’s, and out of the VPN client’s networks', async () => {
    const stranger = await lab.vpn.addContainer('reconc-stranger', {
      command: ['-c', 'exec sleep 600'],
      networks: [{ name: lab.vpn.uplink }],
    });
    await lab.docker('network', 'connect', slot.network, stranger);
    await until('the stranger is out', REPAIR_MS, async () => {
      const found = await lab.engine.networks.find(slot.network);
      return found !== undefined && Object.keys(found.containers).length === 2;
    });
    await lab.docker('network', 'connect', 'bridge', node.client);
    await until('the client is out of the engine’s own network', REPAIR_MS, async () => {
      const found = await lab.engine.containers.find(node.client);
      return found?.networks.bridge === undefined && found?.state === 'running';
    });
    await until('the algorithm reaches its peer', REPAIR_MS, reaches);
    await lab.engine.containers.remove(stranger);
  });

  it('gets its way out back when the uplink was disconnected', async () => {
    await lab.docker('network', 'disconnect', '--force', lab.vpn.uplink, node.client);
    await until('the algorithm reaches its peer again', REPAIR_MS, reaches);
    // Packets pass before it: the VPN server is on the uplink itself.
    await until(
      'there is a default route',
      REPAIR_MS,
      () => node.inClient('ip -4 route show default'),
      (route) => route.startsWith('default via '),
    );
  });

  it('starts a task at once whose spare slot was pruned', async () => {
    // The run that is there has all of max_runs; the next one waits, and says for what.
    const waiting = await lab.createTask([node]);
    const [run] = waiting.runs;
    await until('the run waits', 10_000, status, ({ queue }) => queue?.length === 1);
    expect((await status()).queue).toEqual([
      {
        run: run?.id,
        task: waiting.id,
        position: 1,
        reason: '1 of 1 runs are active (max_runs)',
      },
    ]);
    // The node looks away while all its spare slots go.
    node.process?.kill('SIGSTOP');
    try {
      const labels = { 'v6.scope': lab.scope, 'v6.node': node.name };
      const spare = (await lab.engine.networks.list(labels))
        .map(({ name }) => name)
        .filter((name) => name !== slot.network);
      expect(spare).toHaveLength(SPARE);
      for (const name of spare) await lab.engine.networks.remove(name);
    } finally {
      node.process?.kill('SIGCONT');
    }
    await lab.kill(task);
    const active = await lab.status(run?.id ?? 0, ['active']);
    expect(active.log ?? '').not.toContain('V6_');
    await until('there are as many spare slots as before', REPAIR_MS, async () => {
      const { slots } = await status();
      return slots.total - slots.busy >= SPARE;
    });
    await lab.kill(waiting);
    await lab.ended(run?.id ?? 0);
  });
});
