import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressAt } from '../../src/core/net/ipv4.ts';
import {
  addressesOf,
  HostWitness,
  refuses,
  shell,
  tcp,
  udp,
  type Witness,
  witnessIn,
  witnessProgram,
} from '../support/attack.ts';
import { buildHostileImage, placeOf } from '../support/hostile.ts';
import { MeshLab, type MeshRun, type MeshTask } from '../support/mesh-lab.ts';
import { INTERNET, OutsideWorld } from '../support/outside-world.ts';
import { ASK_PROXY } from '../support/peer-program.ts';
import { VPN_SUBNET } from '../support/vpn-lab.ts';

/** A service in the VPN server's container that its clients have no business with. */
const SERVER_PORT = 7070;
const UNDECLARED = 7777;

let lab: MeshLab;
let world: OutsideWorld;
let host: HostWitness;
let hostile: string;
/** The attacker's task and the task of somebody else, both on nodes 1 and 2. */
let own: MeshTask;
let foreign: MeshTask;
let attacker: string;
let server: string;
let serverWitness: Witness;
let victim: { network: string; address: string; gateway: string };
let slot: { network: string; address: string; gateway: string };
/** Containers on the VPN client's uplink, and on a network whose resolver is the outside. */
let neighbour: string;
let resolving: string;
let addresses: Record<'ownPeer' | 'ownSelf' | 'foreignPeer' | 'foreignSelf', string>;

const run = (task: MeshTask, node: 1 | 2): MeshRun => {
  const found = task.runs[node - 1];
  if (found === undefined) throw new Error('no such run');
  return found;
};
const udpPortOf = async (asker: MeshRun, of: MeshRun): Promise<string> => {
  const list = await lab.addresses(asker, '');
  const at = list.find(
    (one) => one.organization_id === of.node.organization && one.protocol === 'udp',
  );
  return at?.ip ? `${at.ip}:${at.port}` : '';
};
/** HTTP status and body of a request to the proxy, made as the algorithm would. */
const askProxy = (container: string, target: string, token: string): Promise<string> =>
  shell(container, `${ASK_PROXY}\nask '${target}' '${token}'`);
const tokenOf = async ({ container }: MeshRun): Promise<string> =>
  (await shell(container, 'cat /mnt/data/task-*/token')).trim();
/** Whether the relay of a slot answers on this address. */
const relayAnswers = async (container: string, to: string): Promise<boolean> =>
  (
    await shell(
      container,
      `printf 'GET /version HTTP/1.0\\r\\n\\r\\n' | socat -t 2 -T 3 - TCP:${to},connect-timeout=2,shut-none 2>/dev/null`,
    )
  ).includes('HTTP/1.');
/** Whether a name that is asked for gets to the name server of the outside; '': by the resolver that the container has. */
const asksName = async (container: string, resolver: string): Promise<boolean> => {
  const word = `n${Math.random().toString(36).slice(2)}`;
  await shell(container, `timeout 6 nslookup ${word}.example.test ${resolver} 2>&1`);
  return world.witness.heard(word);
};
const withLast = (address: string, last: number): string => address.replace(/\d+$/, String(last));
/** Addresses of this host that a container could aim at. */
let hostAddresses: readonly string[];
const everyHostAddress = async (
  probe: typeof tcp,
  container: string,
  how: 'some' | 'every',
): Promise<boolean> => {
  const results = await Promise.all(
    hostAddresses.map((address) => probe(container, `${address}:${host.port}`, host)),
  );
  return how === 'some' ? results.some(Boolean) : results.every(Boolean);
};

describe('an algorithm, with root in its container', () => {
  beforeAll(async () => {
    lab = await MeshLab.up('atka', { nodes: 2 });
    host = await HostWitness.open();
    world = await OutsideWorld.open(lab.vpn);
    const [docker0, outside] = await Promise.all(['docker0', 'eth0'].map(addressesOf));
    hostAddresses = [
      ...(docker0 ?? []),
      ...(outside ?? []),
      withLast(lab.vpn.serverAddress, 1),
      world.gateway,
    ];
    hostile = await buildHostileImage(lab);
    const nodes = [lab.node(1), lab.node(2)];
    [own, foreign] = await Promise.all([
      lab.startTask(nodes, { method: 'serve' }, hostile),
      lab.startTask(nodes),
    ]);
    attacker = run(own, 1).container;
    [slot, victim] = await Promise.all([placeOf(lab, run(own, 1)), placeOf(lab, run(foreign, 1))]);
    server = lab.vpn.serverName;
    serverWitness = witnessIn(server);
    await shell(server, `${witnessProgram(SERVER_PORT)} sleep 0`);
    neighbour = await lab.vpn.addContainer(`${lab.vpn.sandbox.id}-neighbour`, {
      command: ['-c', 'exec sleep 900'],
      networks: [{ name: lab.vpn.uplink }],
    });
    resolving = await lab.vpn.addContainer(`${lab.vpn.sandbox.id}-resolving`, {
      command: ['-c', 'exec sleep 900'],
      networks: [{ name: world.network }],
      dns: [INTERNET],
    });
    const [a1, a2, f1, f2] = [run(own, 1), run(own, 2), run(foreign, 1), run(foreign, 2)];
    addresses = {
      ownPeer: await lab.addressOf(a1, a2),
      ownSelf: await lab.addressOf(a1, a1),
      foreignPeer: await lab.addressOf(f1, f2),
      foreignSelf: await lab.addressOf(f1, f1),
    };
  });
  afterAll(async () => {
    host?.close();
    await world?.remove();
    await lab?.remove();
  });

  it('reaches what it is for: its proxy, and the declared ports of its own task', async () => {
    expect(
      await askProxy(attacker, '/vpn/algorithm/addresses', await tokenOf(run(own, 1))),
    ).toContain('"addresses"');
    expect(await tcp(attacker, addresses.ownPeer)).toBe(true);
    expect(await udp(attacker, await udpPortOf(run(own, 1), run(own, 2)))).toBe(true);
    expect(await tcp(attacker, addresses.ownSelf), 'its own address').toBe(true);
  });

  refuses([
    // Out of the hospital.
    [
      'the internet, TCP',
      () => tcp(attacker, world.internet, world.witness),
      () => tcp(world.bystander, world.internet),
    ],
    [
      'the internet, UDP',
      () => udp(attacker, world.internet, world.witness),
      () => udp(world.bystander, world.internet),
    ],
    [
      'the metadata service, TCP',
      () => tcp(attacker, world.metadata, world.witness),
      () => tcp(world.bystander, world.metadata),
    ],
    [
      'the metadata service, UDP',
      () => udp(attacker, world.metadata, world.witness),
      () => udp(world.bystander, world.metadata, world.witness),
    ],
    [
      'the metadata service from the VPN client’s network',
      () => tcp(neighbour, world.metadata, world.witness),
      () => tcp(neighbour, world.internet),
    ],
    // The host and its engine.
    [
      'the host on any of its addresses, TCP',
      () => everyHostAddress(tcp, attacker, 'some'),
      () => everyHostAddress(tcp, world.bystander, 'every'),
    ],
    [
      'the host on any of its addresses, UDP',
      () => everyHostAddress(udp, attacker, 'some'),
      () => everyHostAddress(udp, world.bystander, 'every'),
    ],
    // Other containers.
    [
      'another Docker network, TCP',
      () => tcp(attacker, world.neighbourAddress, world.neighbourWitness),
      () => tcp(world.bystander, world.neighbourAddress),
    ],
    [
      'another Docker network, UDP',
      () => udp(attacker, world.neighbourAddress, world.neighbourWitness),
      () => udp(world.bystander, world.neighbourAddress),
    ],
    [
      'another task on this node, by its slot address',
      () => tcp(attacker, `${victim.address}:8888`),
      () => tcp(run(foreign, 1).container, `${victim.address}:8888`),
    ],
    [
      'another task on this node, by its slot address, UDP',
      () => udp(attacker, `${victim.address}:8888`),
      () => udp(run(foreign, 1).container, `${victim.address}:8888`),
    ],
    [
      'another task on this node, by its tunnel port',
      () => tcp(attacker, addresses.foreignSelf),
      () => tcp(run(foreign, 1).container, addresses.foreignSelf),
    ],
    [
      'another task’s declared port on a peer',
      () => tcp(attacker, addresses.foreignPeer),
      () => tcp(run(foreign, 1).container, addresses.foreignPeer),
    ],
    [
      'another task’s declared port on a peer, UDP',
      async () => udp(attacker, await udpPortOf(run(foreign, 1), run(foreign, 2))),
      async () => udp(run(foreign, 1).container, await udpPortOf(run(foreign, 1), run(foreign, 2))),
    ],
    [
      'a port of its own peer that is not declared',
      () => tcp(attacker, `${lab.node(2).vpnAddress}:${UNDECLARED}`),
      () => tcp(run(own, 2).container, `127.0.0.1:${UNDECLARED}`),
    ],
    [
      'a port of its own peer that is not declared, UDP',
      () => udp(attacker, `${lab.node(2).vpnAddress}:${UNDECLARED}`),
      () => udp(run(own, 2).container, `127.0.0.1:${UNDECLARED}`),
    ],
    [
      'the declared port of its peer under its own number',
      () => tcp(attacker, `${lab.node(2).vpnAddress}:8888`),
      () => tcp(attacker, addresses.ownPeer),
    ],
    // The VPN server.
    [
      'the VPN server in the tunnel',
      () => tcp(attacker, `${addressAt(VPN_SUBNET, 1)}:${SERVER_PORT}`, serverWitness),
      () => tcp(server, `${addressAt(VPN_SUBNET, 1)}:${SERVER_PORT}`),
    ],
    [
      'the VPN server in the tunnel, UDP',
      () => udp(attacker, `${addressAt(VPN_SUBNET, 1)}:${SERVER_PORT}`, serverWitness),
      () => udp(server, `${addressAt(VPN_SUBNET, 1)}:${SERVER_PORT}`),
    ],
    [
      'the VPN server on the uplink',
      () => tcp(attacker, `${lab.vpn.serverAddress}:${SERVER_PORT}`, serverWitness),
      () => tcp(neighbour, `${lab.vpn.serverAddress}:${SERVER_PORT}`),
    ],
    [
      'the VPN server on the uplink, UDP',
      () => udp(attacker, `${lab.vpn.serverAddress}:${SERVER_PORT}`, serverWitness),
      () => udp(neighbour, `${lab.vpn.serverAddress}:${SERVER_PORT}`),
    ],
    // The proxies.
    [
      'the proxy of another run',
      () => relayAnswers(attacker, `${victim.gateway}:8080`),
      () => relayAnswers(run(foreign, 1).container, `${victim.gateway}:8080`),
    ],
    [
      'its proxy by the VPN client’s other addresses',
      async () =>
        (
          await Promise.all(
            [
              lab.node(1).vpnAddress,
              lab.node(2).vpnAddress,
              withLast(slot.gateway, Number(slot.gateway.split('.')[3]) + 1),
            ].map((address) => relayAnswers(attacker, `${address}:8080`)),
          )
        ).some(Boolean),
      () => relayAnswers(attacker, `${slot.gateway}:8080`),
    ],
    [
      'its proxy with the token of another run',
      async () =>
        (await askProxy(attacker, `/task/${own.id}`, await tokenOf(run(foreign, 1)))).includes(
          '"id"',
        ),
      async () =>
        (await askProxy(attacker, `/task/${own.id}`, await tokenOf(run(own, 1)))).includes('"id"'),
    ],
    [
      'its proxy with the token of its own task’s run elsewhere',
      async () =>
        (await askProxy(attacker, `/task/${own.id}`, await tokenOf(run(own, 2)))).includes('"id"'),
      async () =>
        (
          await askProxy(run(own, 2).container, `/task/${own.id}`, await tokenOf(run(own, 2)))
        ).includes('"id"'),
    ],
    // Names.
    [
      'the name server of the outside',
      () => asksName(attacker, INTERNET),
      () => asksName(world.bystander, INTERNET),
    ],
    [
      'names by the resolver of the engine',
      () => asksName(attacker, ''),
      () => asksName(resolving, ''),
    ],
  ]);
});
