import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { can, refuses, shell, tcp, udp, witnessIn, witnessProgram } from '../support/attack.ts';
import { placeOf } from '../support/hostile.ts';
import { MeshLab, type MeshRun, type MeshTask } from '../support/mesh-lab.ts';
import { INTERNET, OutsideWorld } from '../support/outside-world.ts';
import { giveMember, joinAsRogue, type Rogue } from '../support/rogue.ts';
import { until } from '../support/wait.ts';

/** A service in the node's VPN client that nobody declared. */
const CLIENT_PORT = 9797;
/** What a server may push to take its clients over: openvpn(8). */
const PUSHES = [
  'redirect-gateway def1 bypass-dhcp',
  'route 198.51.100.0 255.255.255.0',
  'route 10.201.0.0 255.255.0.0',
  'dhcp-option DNS 10.202.0.1',
  'dhcp-option DOMAIN evil.example.test',
  'ifconfig-ipv6 fd00:76::2/64 fd00:76::1',
  'route-ipv6 2000::/3',
  'block-ipv6',
  'block-outside-dns',
  'inactive 3',
  'ping-exit 2',
  'setenv-safe EVIL 1',
].map((option) => `push "${option}"`);

let lab: MeshLab;
let world: OutsideWorld;
/** Takes all that is pushed, as an ordinary client does. */
let ordinary: Rogue;
let task: MeshTask;
let slot: { network: string; address: string; gateway: string };
let server: string;
let ports: { tcp: string; udp: string };

const first = (): MeshRun => {
  const [found] = task.runs;
  if (found === undefined) throw new Error('no run');
  return found;
};
const node = () => lab.node(1);
/** The server as a member: packets with this source, which no member but its owner should send. */
const as = (address: string): string => `,bind=${address}`;
const effect = (line: string) =>
  [() => can(node().client, line), () => can(ordinary.container, line)] as const;

describe('a VPN server that does what it likes', () => {
  beforeAll(async () => {
    lab = await MeshLab.open('atks', { nodes: 2 });
    const range = node().range.replace('/24', ' 255.255.255.0');
    // It also says that the slots and the internet lie behind the node, so that it can send packets for them there.
    await giveMember(lab.vpn, 1, [
      ...PUSHES,
      `iroute ${range}`,
      `iroute ${INTERNET} 255.255.255.255`,
    ]);
    await Promise.all(lab.nodes.map((one) => one.start()));
    world = await OutsideWorld.open(lab.vpn);
    ordinary = await joinAsRogue(
      lab.vpn,
      10,
      PUSHES.filter((line) => !/inactive|ping-exit/.test(line)),
    );
    task = await lab.startTask(lab.nodes);
    slot = await placeOf(lab, first());
    server = lab.vpn.serverName;
    const list = await lab.addresses(task.runs[1] ?? first());
    const of = (protocol: string): string => {
      const at = list.find(
        (one) =>
          one.organization_id === node().organization &&
          one.protocol === protocol &&
          one.label === 'echo',
      );
      return `${at?.ip}:${at?.port}`;
    };
    ports = { tcp: of('tcp'), udp: of('udp') };
    await shell(node().client, `${witnessProgram(CLIENT_PORT)} sleep 0`);
    const member = lab.node(2).vpnAddress;
    await shell(
      server,
      `ip addr add ${member}/32 dev lo; ip addr add 192.0.2.66/32 dev lo; ip route add ${node().range} dev tun0; ip route add ${INTERNET}/32 dev tun0; ip route add ${node().vpnAddress}/32 dev tun0`,
    );
  });
  afterAll(async () => {
    await world?.remove();
    await lab?.remove();
  });

  it('cannot be kept from playing a member that takes part: the tunnel ends with it', async () => {
    // Said in the threat model, and the control of what follows: these packets do get to the node.
    expect(await udp(server, ports.udp, undefined, as(lab.node(2).vpnAddress))).toBe(true);
  });

  const member = () => lab.node(2).vpnAddress;
  const asMember = () => udp(server, ports.udp, undefined, as(member()));
  refuses([
    // What it pushes.
    ['a default route', ...effect('ip route show dev tun0 | grep -q "^0.0.0.0/1"')],
    ['a route', ...effect('ip route show dev tun0 | grep -q "^198.51.100.0/24"')],
    ['a route to the slots', ...effect('ip route show dev tun0 | grep -q "^10.201.0.0/16"')],
    ['an address of IPv6', ...effect('ip -6 addr show dev tun0 | grep -q fd00:76')],
    ['a route of IPv6', ...effect('ip -6 route show dev tun0 | grep -q 2000')],
    // What it sends.
    [
      'an algorithm by its slot address',
      () => tcp(server, `${slot.address}:8888`, undefined, as(member())),
      asMember,
    ],
    [
      'an algorithm by its slot address, UDP',
      () => udp(server, `${slot.address}:8888`, undefined, as(member())),
      asMember,
    ],
    ['a declared port with the server’s own source', () => udp(server, ports.udp), asMember],
    [
      'a declared port with a source outside the VPN',
      () => udp(server, ports.udp, undefined, as('192.0.2.66')),
      asMember,
    ],
    [
      'the VPN client itself',
      () =>
        tcp(server, `${node().vpnAddress}:${CLIENT_PORT}`, witnessIn(node().client), as(member())),
      () => tcp(node().client, `127.0.0.1:${CLIENT_PORT}`),
    ],
    [
      'the VPN client itself, UDP',
      () =>
        udp(server, `${node().vpnAddress}:${CLIENT_PORT}`, witnessIn(node().client), as(member())),
      () => udp(node().client, `127.0.0.1:${CLIENT_PORT}`),
    ],
    [
      'the relay of a slot',
      () => tcp(server, `${slot.gateway}:8080`, undefined, as(member())),
      asMember,
    ],
    [
      'the internet through the hospital',
      () => tcp(server, world.internet, world.witness, as(member())),
      () => tcp(world.bystander, world.internet),
    ],
    [
      'the internet through the hospital, UDP',
      () => udp(server, world.internet, world.witness, as(member())),
      () => udp(world.bystander, world.internet),
    ],
  ]);

  it('leaves names and way out of the VPN client as they were, and its tunnel up', async () => {
    const inClient = await shell(
      node().client,
      'cat /etc/resolv.conf; ip route; env; cat /proc/sys/net/ipv4/conf/all/accept_redirects',
    );
    expect(inClient).not.toMatch(/10\.202\.0\.1\b|evil|EVIL/);
    expect(inClient).toMatch(/^default via 10\.201\.\d+\.1 /m);
    expect(inClient.trim().endsWith('\n0')).toBe(true);
    const { connectedSince } = (await node().control.status()).vpn;
    // `inactive 3` and `ping-exit 2` have had their time: the set-up took longer.
    await until(
      'eight seconds have passed',
      10_000,
      () => Date.now() - Date.parse(connectedSince ?? '') > 8000,
    );
    expect((await node().control.status()).vpn.connectedSince).toBe(connectedSince);
  });
});
