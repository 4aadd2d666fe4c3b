import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Engine } from '../../src/core/engine/engine.ts';
import { TestNodeDaemon } from '../../test/support/test-node.ts';
import { VPN_SUBNET, VpnLab, writeAddresses } from '../../test/support/vpn-lab.ts';
import { startOurs, stopChild } from '../ours.ts';
import { ask, type BenchNode, INPUT, type Peer } from '../peer.ts';

export const SCOPE = 'demo-bench';
/** Listens on two ports, and ends soon after, so that the next one can start. */
const PROGRAM = String.raw`
socat TCP-LISTEN:8888,fork,reuseaddr EXEC:cat &
socat TCP-LISTEN:8889,fork,reuseaddr EXEC:cat &
sleep 0.6
printf '{}' > "$OUTPUT_FILE"
`;

export const PORTS = [8888, 8889] as const;
export const ALGORITHM = 'v6-bench-algorithm:1';
export const ALGORITHM_COMMAND = ['/usr/bin/tini', '-g', '--', '/bin/sh', '/program.sh'] as const;

/** A server, a VPN server, and two nodes as processes of their own that differ in one line: the first has the VPN. */
export interface TaskWorld {
  readonly lab: VpnLab;
  readonly peer: Peer;
  readonly nodes: { readonly with: TestNodeDaemon; readonly without: TestNodeDaemon };
  stop(): Promise<void>;
}

interface WorldInput {
  readonly folder: string;
  readonly freePort: () => Promise<number>;
  readonly fromSources: boolean;
}

export async function openTaskWorld(input: WorldInput): Promise<TaskWorld> {
  const undo: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (const step of undo.toReversed())
      await step().catch((error: unknown) => void failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, 'Not all was removed.');
  };
  try {
    const lab = await VpnLab.open('bench');
    undo.push(() => lab.remove());
    await buildAlgorithm(lab.engine, path.join(input.folder, 'image'), lab.sandbox.image);
    undo.push(() => lab.engine.images.remove(ALGORITHM));
    await writeAddresses(lab, 1);
    await lab.startServer();
    const peer = await startOurs({ ...input, port: await input.freePort(), nodes: 2 });
    undo.push(() => peer.stop());
    const [first, second] = peer.nodes;
    if (first === undefined || second === undefined) throw new Error('The server has no nodes.');
    const nodes = {
      with: nodeOf(input.folder, lab, { peer, node: first, name: 'with' }),
      without: nodeOf(input.folder, lab, { peer, node: second, name: 'without' }),
    };
    await giveCredential(nodes.with, lab);
    for (const node of Object.values(nodes)) {
      // What an earlier run left behind that was killed.
      await node.clean();
      undo.push(() => node.clean());
      const child = await node.spawn();
      undo.push(() => stopChild(child));
    }
    return { lab, peer, nodes, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function nodeOf(
  folder: string,
  lab: VpnLab,
  { peer, node, name }: { peer: Peer; node: BenchNode; name: 'with' | 'without' },
): TestNodeDaemon {
  const hasVpn = name === 'with';
  return new TestNodeDaemon({
    name,
    scope: SCOPE,
    root: folder,
    engine: lab.engine,
    vpnImage: lab.sandbox.image,
    apiKey: node.apiKey ?? '',
    port: Number(new URL(peer.origin).port),
    config: [
      `isolated_range: 10.204.${hasVpn ? 0 : 1}.0/24`,
      `uplink_network: ${lab.uplink}`,
      `vpn_subnet: '${hasVpn ? VPN_SUBNET : ''}'`,
      'spare_slots: 2',
    ],
  });
}

async function giveCredential(node: TestNodeDaemon, lab: VpnLab): Promise<void> {
  const file = path.join(node.context.dataDir, 'vpn', 'vpn-config.ovpn.conf');
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, await lab.clientConfig('node-1'), { mode: 0o600 });
}

async function buildAlgorithm(engine: Engine, folder: string, base: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'program.sh'), PROGRAM, { mode: 0o755 });
  const lines = [
    `FROM ${base}`,
    'COPY program.sh /program.sh',
    `EXPOSE ${PORTS.map((port) => `${port}/tcp`).join(' ')}`,
    `LABEL ${PORTS.map((port) => `p${port}=bench-${port}`).join(' ')}`,
    `ENTRYPOINT ${JSON.stringify(ALGORITHM_COMMAND)}`,
    'CMD []',
  ];
  await writeFile(path.join(folder, 'Dockerfile'), `${lines.join('\n')}\n`);
  await engine.images.build({ folder, tags: [ALGORITHM], labels: { 'v6.test': 'bench' } });
}

/** A task for one of the two nodes; the run's id is asked for later, it is not part of the way. */
export async function postTask(peer: Peer, organization: number): Promise<number> {
  const { id } = await ask(peer, {
    method: 'POST',
    path: '/task',
    token: peer.userToken,
    body: {
      name: 'bench',
      description: '',
      image: ALGORITHM,
      collaboration_id: peer.collaboration,
      organizations: [{ id: organization, input: INPUT }],
      databases: [],
    },
  });
  return Number(id);
}
