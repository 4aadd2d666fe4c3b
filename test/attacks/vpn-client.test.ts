import { lstat, readFile, stat, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cidr, Ipv4 } from '../../src/core/net/ipv4.ts';
import {
  addressesOf,
  can,
  HostWitness,
  refuses,
  shell,
  tcp,
  udp,
  witnessIn,
  witnessProgram,
} from '../support/attack.ts';
import { placeOf } from '../support/hostile.ts';
import { MeshLab, type MeshNode, type MeshRun, type MeshTask } from '../support/mesh-lab.ts';
import { OutsideWorld } from '../support/outside-world.ts';
import { until } from '../support/wait.ts';

const CLIENT_PORT = 9797;
/** For a network of the form of a slot, whose bridge the guard does not know (RFC 2544). */
const TWIN = { subnet: '198.18.77.0/29' as Cidr, gateway: '198.18.77.1' as Ipv4 };
/** Nobody's; a route to it leads to the link address that is told for it. */
const NOBODY = '192.0.2.99';

let lab: MeshLab;
let world: OutsideWorld;
let host: HostWitness;
/** The one that was taken over, and the one beside it. */
let client: string;
let neighbour: MeshNode;
let task: MeshTask;
let places: readonly { network: string; address: string; gateway: string }[];
/** NET_ADMIN on a network like a slot, without the guard. */
let twin: string;
let token: string;
/** The host's address on the engine's own bridge. */
let docker0: string;

const run = (at: number): MeshRun => {
  const found = task.runs[at];
  if (found === undefined) throw new Error('no such run');
  return found;
};
const place = (at: number) => places[at] ?? { network: '', address: '', gateway: '' };
const uplinkOf = async (container: string): Promise<string> =>
  (await lab.engine.containers.find(container))?.networks[lab.vpn.uplink] ?? '';
const onHost = async (probe: typeof tcp, container: string): Promise<boolean[]> => {
  const gateway = lab.vpn.serverAddress.replace(/\d+$/, '1');
  return Promise.all(
    [docker0, gateway, world.gateway].map((address) =>
      probe(container, `${address}:${host.port}`, host),
    ),
  );
};
/** Sends to the host by the link address of a bridge that it has no address on; answers find no way back. */
async function aimAtBridge(container: string, own: string, bridge: string): Promise<boolean> {
  const link = (await readFile(`/sys/class/net/${bridge}/address`, 'utf8')).trim();
  const line = [
    `dev=$(ip -o -4 addr show to ${own}/32 | sed 's/^[0-9]*: *\\([^ ]*\\).*/\\1/')`,
    `ip neigh replace ${NOBODY} lladdr ${link} dev $dev nud permanent`,
    `ip route replace ${docker0}/32 via ${NOBODY} dev $dev onlink`,
  ].join('; ');
  await shell(container, line);
  const reached = await udp(container, `${docker0}:${host.port}`, host);
  await shell(container, `ip route del ${docker0}/32`);
  return reached;
}
const bridgeOf = async (network: string): Promise<string> =>
  (await lab.engine.networks.find(network))?.bridge ?? '';

describe('a VPN client that was taken over', () => {
  beforeAll(async () => {
    lab = await MeshLab.up('atkc', { nodes: 2 });
    host = await HostWitness.open();
    world = await OutsideWorld.open(lab.vpn);
    client = lab.node(1).client;
    [docker0 = ''] = await addressesOf('docker0');
    neighbour = lab.node(2);
    task = await lab.startTask(lab.nodes);
    places = await Promise.all(task.runs.map((one) => placeOf(lab, one)));
    const { id, labels } = lab.vpn.sandbox;
    const network = `v6-test-${id}-twin`;
    await lab.engine.networks.ensure({
      ...TWIN,
      name: network,
      labels,
      bridge: `xt${id}`,
      form: 'slot',
    });
    twin = await lab.vpn.addContainer(`${id}-twin`, {
      command: ['-c', 'exec sleep 900'],
      networks: [{ name: network, address: '198.18.77.3' as Ipv4 }],
      capabilities: ['NET_ADMIN'],
    });
    token = (await shell(run(0).container, 'cat /mnt/data/task-*/token')).trim();
    await shell(neighbour.client, `${witnessProgram(CLIENT_PORT)} sleep 0`);
    // Its daemon would put the rules back.
    lab.node(1).process?.kill('SIGSTOP');
    await shell(client, 'nft delete table inet v6client');
  });
  afterAll(async () => {
    lab?.node(1).process?.kill('SIGCONT');
    host?.close();
    await world?.remove();
    await lab?.remove();
  });

  it('holds NET_ADMIN and nothing else, on a file system that it cannot change', async () => {
    const status = await shell(client, 'cat /proc/self/status');
    // NET_ADMIN: capabilities(7), number 12.
    for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
      expect(status).toContain(`${set}:\t0000000000001000`);
    expect(status).toContain('NoNewPrivs:\t1');
    expect(status).toContain('Seccomp:\t2');
    const writable =
      'for d in / /usr/local/lib/v6 /etc /client /state /mgmt /proxy /tmp /run; do touch $d/x 2>/dev/null && rm $d/x && echo $d; done';
    expect((await shell(client, writable)).trim().split('\n')).toEqual([
      '/mgmt',
      '/proxy',
      '/tmp',
      '/run',
    ]);
  });

  it('reads its own client config, and no token and no key of the node', async () => {
    const search = (word: string) =>
      shell(
        client,
        `grep -rlsF -e '${word}' / --exclude-dir=proc --exclude-dir=sys 2>/dev/null || for d in /client /mgmt /proxy /state /run /tmp /etc /usr/local /var; do grep -rlsF -e '${word}' $d; done`,
      );
    const config = await readFile(lab.node(1).daemon.context.configFile, 'utf8');
    const key = /^api_key: (\S+)/m.exec(config)?.[1] ?? 'none';
    expect(await search('PRIVATE KEY'), 'the search finds what is there').toContain(
      '/client/client.ovpn',
    );
    expect(key.length).toBeGreaterThan(20);
    expect(await search(key)).toBe('');
    expect(await search(token)).toBe('');
    const sockets = await shell(client, 'find /client /mgmt /proxy /state /run /tmp -type s');
    for (const name of sockets.trim().split('\n'))
      expect(name).toMatch(/^\/(mgmt\/openvpn\.sock|proxy\/slot-\d+\.sock)$/);
  });

  refuses([
    [
      'the host by its uplink, TCP',
      async () => (await onHost(tcp, client)).some(Boolean),
      async () => (await onHost(tcp, world.bystander)).every(Boolean),
    ],
    [
      'the host by its uplink, UDP',
      async () => (await onHost(udp, client)).some(Boolean),
      async () => (await onHost(udp, world.bystander)).every(Boolean),
    ],
    [
      'the metadata service',
      () => tcp(client, world.metadata, world.witness),
      () => tcp(world.bystander, world.metadata),
    ],
    [
      'the metadata service, UDP',
      () => udp(client, world.metadata, world.witness),
      () => udp(world.bystander, world.metadata, world.witness),
    ],
    [
      'another Docker network',
      () => tcp(client, world.neighbourAddress, world.neighbourWitness),
      () => tcp(world.bystander, world.neighbourAddress),
    ],
    [
      'another Docker network, UDP',
      () => udp(client, world.neighbourAddress, world.neighbourWitness),
      () => udp(world.bystander, world.neighbourAddress),
    ],
    [
      'an algorithm of another node on this host',
      () => tcp(client, `${place(1).address}:8888`),
      () => tcp(run(1).container, `${place(1).address}:8888`),
    ],
    [
      'an algorithm of another node, over the uplink',
      async () => {
        await shell(
          client,
          `ip route replace ${neighbour.range} via ${await uplinkOf(neighbour.client)}`,
        );
        return tcp(client, `${place(1).address}:8888`);
      },
      () => tcp(run(1).container, `${place(1).address}:8888`),
    ],
    [
      'the VPN client of another node',
      async () =>
        tcp(
          client,
          `${await uplinkOf(neighbour.client)}:${CLIENT_PORT}`,
          witnessIn(neighbour.client),
        ),
      () => tcp(neighbour.client, `127.0.0.1:${CLIENT_PORT}`),
    ],
    [
      'the VPN client of another node, UDP',
      async () =>
        udp(
          client,
          `${await uplinkOf(neighbour.client)}:${CLIENT_PORT}`,
          witnessIn(neighbour.client),
        ),
      () => udp(neighbour.client, `127.0.0.1:${CLIENT_PORT}`),
    ],
    [
      'the relay of another node',
      async () => tcp(client, `${await uplinkOf(neighbour.client)}:8080`),
      () =>
        can(
          run(1).container,
          `printf 'GET /version HTTP/1.0\\r\\n\\r\\n' | socat -t 2 - TCP:${place(1).gateway}:8080,shut-none | grep -q HTTP`,
        ),
    ],
    [
      'packets of its own making',
      () => can(client, 'printf x | socat -u - IP4-SENDTO:192.0.2.1:253'),
      () => can(client, 'printf x | socat -u - UDP:192.0.2.1:9'),
    ],
  ]);

  it('does not reach the host by the link address of a bridge, as it would without the guard', async () => {
    expect(await aimAtBridge(twin, '198.18.77.3', `xt${lab.vpn.sandbox.id}`), 'without').toBe(true);
    const { network, gateway } = place(0);
    expect(await aimAtBridge(client, gateway, await bridgeOf(network))).toBe(false);
    const uplink = await uplinkOf(client);
    expect(await aimAtBridge(client, uplink, await bridgeOf(lab.vpn.uplink))).toBe(false);
  });

  describe('against its daemon', () => {
    let canary: string;
    const status = () => lab.node(1).control.status();

    beforeAll(async () => {
      canary = path.join(lab.vpn.folder.path, 'canary');
      await writeFile(canary, 'host', { mode: 0o644 });
      lab.node(1).process?.kill('SIGCONT');
      await until('the node is well again', 60_000, () => lab.node(1).isReady());
    });

    it('cannot fill its memory through the management socket', async () => {
      const { daemon } = lab.node(1);
      const socket = path.join(daemon.context.runDir, 'mgmt', 'openvpn.sock');
      const before = await memoryOf(lab.node(1));
      // openvpn is not started again, and something else speaks for it.
      await shell(
        client,
        "kill -STOP $(cat /run/v6/entry.pid); kill -KILL $(cat /run/v6/openvpn.pid); rm -f /mgmt/openvpn.sock; (socat UNIX-LISTEN:/mgmt/openvpn.sock,fork SYSTEM:'busybox yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' >/dev/null 2>&1 &) ; sleep 0.3",
      );
      expect(await bytesFrom(socket, 4_000_000), 'it does flood').toBe(true);
      const end = Date.now() + 6000;
      while (Date.now() < end) {
        expect((await status()).node.name).toBe(lab.node(1).name);
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      expect((await memoryOf(lab.node(1))) - before).toBeLessThan(150_000);
    });

    it('does not lead it to files of the host by links in its folders', async () => {
      const slot = await shell(client, 'ls /proxy | head -n 1');
      const name = slot.trim();
      await lab.node(1).kill();
      await shell(
        client,
        `rm -f /proxy/${name} /mgmt/openvpn.sock; ln -s ${canary} /proxy/${name}; ln -s /var/run/docker.sock /mgmt/openvpn.sock; mkdir -p /proxy/slot-9.sock/deep; ln -s ${path.dirname(canary)} /proxy/slot-8.sock`,
      );
      const file = path.join(lab.node(1).daemon.context.runDir, 'proxy', name);
      expect((await lstat(file)).isSymbolicLink()).toBe(true);
      expect(await readFile(file, 'utf8'), 'the link leads there').toBe('host');
      await lab.engine.containers.kill(client, 'SIGKILL');
      await lab.node(1).startAgain();
      expect(await readFile(canary, 'utf8')).toBe('host');
      expect((await stat(canary)).mode & 0o777).toBe(0o644);
      expect((await lstat(file)).isSocket()).toBe(true);
      const next = await lab.startTask([lab.node(1)]);
      await lab.finish(next);
      await lab.node(1).stop();
      expect(await readFile(canary, 'utf8'), 'after all was removed').toBe('host');
    });
  });
});

/** Resident memory of the node's process, KiB. */
async function memoryOf({ process: child }: MeshNode): Promise<number> {
  const text = await readFile(`/proc/${child?.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0);
}

/** Whether so many bytes come out of a socket within 15 s. */
function bytesFrom(socket: string, wanted: number): Promise<boolean> {
  return new Promise((resolve) => {
    let count = 0;
    const connection = createConnection(socket);
    const end = (answer: boolean): void => {
      clearTimeout(timer);
      connection.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => end(false), 15_000);
    connection.on('error', () => end(false));
    connection.on('data', (data) => {
      count += data.length;
      if (count >= wanted) end(true);
    });
  });
}
