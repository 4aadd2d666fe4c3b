import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { MeshLab, MeshRun } from './mesh-lab.ts';
import { PEER_PORTS, PEER_PROGRAM } from './peer-program.ts';

/**
 * The peer's program in an image that runs as root: what an algorithm can be at its worst. The base holds what an attacker
 * wants: busybox with all its applets, socat, ip, nft, conntrack.
 */
export async function buildHostileImage(lab: MeshLab): Promise<string> {
  const tag = `v6-test-${lab.scope}-hostile:1`;
  const folder = path.join(lab.vpn.folder.path, 'hostile');
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'program.sh'), PEER_PROGRAM, { mode: 0o755 });
  const lines = [
    `FROM ${lab.vpn.sandbox.image}`,
    'COPY program.sh /program.sh',
    ...PEER_PORTS,
    'USER 0',
    'ENTRYPOINT ["/usr/bin/tini", "-g", "--", "/bin/sh", "/program.sh"]',
    'CMD []',
  ];
  await writeFile(path.join(folder, 'Dockerfile'), `${lines.join('\n')}\n`);
  await lab.engine.images.build({ folder, tags: [tag], labels: { 'v6.test': 'attack' } });
  lab.adoptImage(tag);
  return tag;
}

/** Where a run's container stands: its slot's network, own address, and the gateway that the VPN client claims. */
export async function placeOf(
  lab: MeshLab,
  run: MeshRun,
): Promise<{ network: string; address: string; gateway: string }> {
  const networks = (await lab.engine.containers.find(run.container))?.networks ?? {};
  const [[network, address] = ['', '']] = Object.entries(networks);
  const gateway = (await lab.engine.networks.find(network))?.gateway;
  if (!address || !gateway) throw new Error(`${run.container} has no address`);
  return { network, address, gateway };
}
