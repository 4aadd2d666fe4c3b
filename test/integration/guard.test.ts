import { createSocket, type Socket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createHostGuard } from '../../src/adapters/firewall/guard.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Cidr, Ipv4 } from '../../src/core/net/ipv4.ts';
import type { HostGuard } from '../../src/node/interfaces/host-guard.ts';
import { dockerSandbox, type Sandbox } from '../support/docker.ts';
import { until } from '../support/wait.ts';

const OWNER = 'user/guard-test';
const UPLINK = { subnet: '10.201.230.0/24' as Cidr, gateway: '10.201.230.1' as Ipv4 };
const SLOT = { subnet: '10.201.231.0/29' as Cidr, gateway: '10.201.231.1' as Ipv4 };

/** What our containers may say to the host that they run on. */
describe('the guard on the host', () => {
  let sandbox: Sandbox;
  let guard: HostGuard;
  let service: Server;
  let datagrams: Socket;
  let port: number;
  let heard: string[];
  let neighbour: string;
  let insider: string;

  const shell = async (id: string, line: string): Promise<string> =>
    (await sandbox.engine.containers.exec(id, ['/bin/sh', '-c', line])).output;
  const askHost = (id: string): Promise<string> =>
    shell(id, `socat -u -T 2 TCP:${UPLINK.gateway}:${port},connect-timeout=1 - 2>/dev/null`);
  /** As a VPN client with NET_ADMIN could: aim at the host's link address, whatever the routes say. */
  const shoutAtHost = (word: string): Promise<string> =>
    shell(insider, `printf ${word} | socat -t 0.1 - UDP:${UPLINK.gateway}:${port} 2>&1`);

  beforeAll(async () => {
    sandbox = await dockerSandbox('guard');
    const { engine, image, labels, id } = sandbox;
    guard = createHostGuard({ engine, image, scope: 'user', clock: systemClock });
    await guard.remove(OWNER);
    const networks = [
      { ...UPLINK, name: `v6a-test-${id}`, bridge: `v6a${id}`, form: 'uplink' },
      { ...SLOT, name: `v6z-test-${id}`, bridge: `v6z${id}`, form: 'slot' },
    ] as const;
    for (const network of networks) await engine.networks.ensure({ ...network, labels });
    const start = async (name: string, network: string): Promise<string> => {
      const made = await engine.containers.create({
        name: `v6-test-${id}-${name}`,
        image,
        labels,
        entrypoint: ['/usr/bin/tini', '--', '/bin/sh'],
        command: ['-c', 'socat TCP-LISTEN:8888,fork,reuseaddr SYSTEM:"echo peer"'],
        networks: [{ name: network }],
        capabilities: ['NET_ADMIN'],
      });
      await engine.containers.start(made);
      return made;
    };
    neighbour = await start('neighbour', networks[0].name);
    insider = await start('insider', networks[1].name);
    const link = (await readFile(`/sys/class/net/${networks[1].bridge}/address`, 'utf8')).trim();
    await shell(insider, `ip neigh replace ${SLOT.gateway} lladdr ${link} dev eth0 nud permanent`);
    service = createServer((socket) => socket.end('host'));
    await new Promise<void>((resolve) => {
      service.listen(0, '0.0.0.0', resolve);
    });
    port = (service.address() as { port: number }).port;
    heard = [];
    datagrams = createSocket('udp4', (message) => heard.push(message.toString()));
    await new Promise<void>((resolve) => {
      datagrams.bind(port, '0.0.0.0', resolve);
    });
  });

  afterAll(async () => {
    service?.close();
    datagrams?.close();
    await guard?.remove(OWNER);
    await sandbox?.removeAll();
  });

  it('is needed: without it both kinds of bridges reach the host', async () => {
    // A node that runs on this host has its own guard, which covers these bridges as well.
    const isGuarded = (await guard.show()) !== undefined;
    expect(await askHost(neighbour)).toBe(isGuarded ? '' : 'host');
    await shoutAtHost('before');
    if (!isGuarded) await until('the host hears the insider', 3000, () => heard.includes('before'));
  });

  it('drops what our bridges send to the host, and leaves what members say to each other', async () => {
    await guard.apply({ owner: OWNER, localRemotes: [] });
    expect(await askHost(neighbour)).toBe('');
    await shoutAtHost('guarded');
    const peer = (await sandbox.engine.containers.find(neighbour))?.networks;
    const other = await sandbox.engine.containers.create({
      name: `v6-test-${sandbox.id}-other`,
      image: sandbox.image,
      labels: sandbox.labels,
      entrypoint: ['/usr/bin/tini', '--', '/bin/sleep'],
      command: ['60'],
      networks: [{ name: `v6a-test-${sandbox.id}` }],
      capabilities: [],
    });
    await sandbox.engine.containers.start(other);
    const address = Object.values(peer ?? {})[0] ?? '';
    expect(await shell(other, `socat -u -T 2 TCP:${address}:8888,connect-timeout=1 -`)).toBe(
      'peer\n',
    );
    expect(heard).not.toContain('guarded');
  });

  it('lets through the VPN server that this host serves, and nothing beside it', async () => {
    await guard.apply({
      owner: OWNER,
      localRemotes: [{ address: UPLINK.gateway, port, protocol: 'tcp' }],
    });
    expect(await askHost(neighbour)).toBe('host');
    await guard.apply({ owner: OWNER, localRemotes: [] });
    expect(await askHost(neighbour)).toBe('');
  });

  it('stands until its last owner goes, and may be applied and removed again and again', async () => {
    const second = 'user/guard-test-2';
    await Promise.all([
      guard.apply({ owner: second, localRemotes: [] }),
      guard.apply({ owner: OWNER, localRemotes: [] }),
    ]);
    expect(await guard.show()).toContain(`"v6 ${second}"`);
    await guard.remove(OWNER);
    await guard.remove(OWNER);
    expect(await askHost(neighbour)).toBe('');
    await guard.remove(second);
    expect((await guard.show()) ?? '').not.toContain('guard-test');
  });
});
