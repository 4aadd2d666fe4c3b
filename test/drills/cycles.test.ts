import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { recordDrill } from '../support/drill.ts';
import { MeshLab, type MeshNode, type MeshRun } from '../support/mesh-lab.ts';
import { hostWithoutOthers, type MeshState } from '../support/mesh-state.ts';
import { until } from '../support/wait.ts';

/** V6_CYCLES says how many; 200 take about 20 minutes. */
const CYCLES = Number(process.env.V6_CYCLES ?? 6);
const ENDS = ['stopped', 'daemon killed', 'VPN client killed'] as const;

let lab: MeshLab;
let node: MeshNode;
let before: MeshState;

beforeAll(async () => {
  lab = await MeshLab.open('drcycle', { nodes: 1 });
  node = lab.node(1);
  // The first start makes folders and files that stay: credential, choice of networks.
  await node.start();
  await node.stop();
  before = await hostWithoutOthers(lab);
});
afterAll(() => lab?.remove());

it(
  `${CYCLES} times up, a task, a crash or a stop: the host is as it was`,
  async () => {
    const startedAt = performance.now();
    for (let cycle = 0; cycle < CYCLES; cycle += 1) {
      const end = ENDS[cycle % ENDS.length] ?? 'stopped';
      await node.startAgain();
      const { runs } = await lab.startTask([node]);
      const [run] = runs as [MeshRun];
      await END_OF[end](run);
      await node.stop();
      expect(await node.daemon.held(), `cycle ${cycle}, ${end}`).toEqual([]);
    }
    const recoveryMs = (performance.now() - startedAt) / CYCLES;
    await recordDrill({ drill: `one of ${CYCLES} cycles`, recoveryMs });
    expect(await hostWithoutOthers(lab)).toEqual(before);
    const open = (await lab.world.ask('GET', '/run?per_page=500')).data as { ports: unknown[] }[];
    expect(open.flatMap(({ ports }) => ports)).toEqual([]);
  },
  60_000 + CYCLES * 15_000,
);

const END_OF: Record<(typeof ENDS)[number], (run: MeshRun) => Promise<void>> = {
  /** The stop itself ends the run. */
  stopped: async () => sleep(0),
  'daemon killed': async (run) => {
    await node.kill();
    await node.startAgain();
    expect(await lab.finish({ id: 0, runs: [run] })).toEqual(['completed']);
  },
  'VPN client killed': async (run) => {
    await lab.docker('kill', node.client);
    await until(
      'the tunnel is back',
      60_000,
      async () => (await node.control.vpn()).level !== 'none',
    );
    expect(await lab.finish({ id: 0, runs: [run] })).toEqual(['completed']);
  },
};
