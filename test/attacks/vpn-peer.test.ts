import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { can, refuses, shell, tcp, udp } from '../support/attack.ts';
import { placeOf } from '../support/hostile.ts';
import { MeshLab, type MeshRun, type MeshTask } from '../support/mesh-lab.ts';
import { joinAsRogue, openPorts, type Rogue, SCANNED_PORTS } from '../support/rogue.ts';
import { until } from '../support/wait.ts';

let lab: MeshLab;
/** A member of the VPN that takes part in nothing. */
let rogue: Rogue;
/** The VPN client of node 2, without rules and out of its daemon's sight: a hostile hospital that takes part in `shared`. */
let partner: string;
/** On nodes 1 and 2; on nodes 1 and 3; on node 3 alone. */
let shared: MeshTask;
let theirs: MeshTask;
let alone: MeshTask;
let slot: { network: string; address: string; gateway: string };
/** Tunnel ports on node 1 and 3. */
let ports: Record<'shared' | 'theirs' | 'alone', Ports>;

interface Ports {
  readonly tcp: readonly number[];
  readonly udp: number;
  readonly echo: number;
}

const run = (task: MeshTask, at: number): MeshRun => {
  const found = task.runs[at];
  if (found === undefined) throw new Error('no such run');
  return found;
};
async function portsOf({ id }: MeshRun): Promise<Ports> {
  const list = (await lab.world.run(id)).ports as {
    port: number;
    protocol: string;
    label: string;
  }[];
  const of = (protocol: string) =>
    list.filter((one) => one.protocol === protocol).map(({ port }) => port);
  return {
    tcp: of('tcp').toSorted((a, b) => a - b),
    udp: of('udp')[0] ?? 0,
    echo: list.find(({ protocol, label }) => protocol === 'tcp' && label === 'echo')?.port ?? 0,
  };
}
/** Every port that a run of the lab has, and the usual suspects. */
const scanned = (): number[] => [
  ...new Set([...SCANNED_PORTS, ...Object.values(ports).flatMap((one) => [...one.tcp, one.udp])]),
];
const node = (number: 1 | 2 | 3): string => lab.node(number).vpnAddress;
/** Answers to a number of pings sent as fast as this. */
const pings = async (container: string, count: number, interval: string): Promise<number> => {
  const text = await shell(container, `ping -c ${count} -i ${interval} -W 1 ${node(1)}`);
  return Number(/(\d+) (?:packets )?received/.exec(text)?.[1] ?? 0);
};

describe('a peer in the VPN with a client of its own', () => {
  beforeAll(async () => {
    lab = await MeshLab.up('atkv', { nodes: 3 });
    const [one, two, three] = [lab.node(1), lab.node(2), lab.node(3)];
    [shared, theirs, alone] = await Promise.all([
      lab.startTask([one, two]),
      lab.startTask([one, three]),
      lab.startTask([three]),
    ]);
    ports = {
      shared: await portsOf(run(shared, 0)),
      theirs: await portsOf(run(theirs, 0)),
      alone: await portsOf(run(alone, 0)),
    };
    slot = await placeOf(lab, run(shared, 0));
    rogue = await joinAsRogue(lab.vpn, 10);
    partner = two.client;
    // What node 1 knows of its peers is complete by now: the declared ports answer.
    const address = await lab.addressOf(run(shared, 1), run(shared, 0));
    // So does node 3, whose run has asked for the addresses as algorithms do.
    await lab.addressOf(run(theirs, 1), run(theirs, 0));
    await until('the peers know each other', 15_000, () => tcp(run(shared, 1).container, address));
    two.process?.kill('SIGSTOP');
    await shell(partner, 'nft delete table inet v6client');
  });
  afterAll(async () => {
    lab?.node(2).process?.kill('SIGCONT');
    await lab?.remove();
  });

  it('finds exactly the declared ports of the task that both take part in', async () => {
    expect(await openPorts(partner, node(1), scanned())).toEqual(ports.shared.tcp);
    expect(ports.shared.tcp).toHaveLength(2);
  });

  it('finds nothing when it takes part in nothing, and nothing on a node of another task', async () => {
    const found = await Promise.all([
      openPorts(rogue.container, node(1), scanned()),
      openPorts(rogue.container, node(3), scanned()),
      openPorts(partner, node(3), scanned()),
    ]);
    expect(found).toEqual([[], [], []]);
  });

  refuses([
    [
      'a declared port over UDP to a member that takes no part',
      () => udp(rogue.container, `${node(1)}:${ports.shared.udp}`),
      () => udp(partner, `${node(1)}:${ports.shared.udp}`),
    ],
    [
      'a port of another task of the node to a peer',
      () => udp(partner, `${node(1)}:${ports.theirs.udp}`),
      () => udp(run(theirs, 1).container, `${node(1)}:${ports.theirs.udp}`),
    ],
    [
      'an algorithm by its slot address',
      () => tcp(partner, `${slot.address}:8888`),
      () => tcp(partner, `${node(1)}:${ports.shared.echo}`),
    ],
    [
      'an algorithm by its slot address with a route through the node',
      async () => {
        await shell(
          rogue.container,
          `ip route replace ${lab.node(1).range} via ${node(1)} dev tun0 onlink`,
        );
        return tcp(rogue.container, `${slot.address}:8888`);
      },
      () => can(rogue.container, `ip route get ${slot.address} | grep -q tun0`),
    ],
    [
      'an algorithm by its slot address with a route over the uplink',
      async () => {
        const uplink = await uplinkOf(lab.node(1).client);
        await shell(partner, `ip route replace ${lab.node(1).range} via ${uplink}`);
        return tcp(partner, `${slot.address}:8888`);
      },
      async () => can(partner, `ping -c 1 -W 2 ${lab.vpn.serverAddress}`),
    ],
    [
      'a declared port over the uplink instead of the tunnel',
      async () => tcp(partner, `${await uplinkOf(lab.node(1).client)}:${ports.shared.echo}`),
      () => tcp(partner, `${node(1)}:${ports.shared.echo}`),
    ],
    [
      'the proxy of a node',
      () => tcp(partner, `${node(1)}:8080`),
      () =>
        can(
          run(shared, 0).container,
          `printf 'GET /version HTTP/1.0\\r\\n\\r\\n' | socat -t 2 - TCP:${slot.gateway}:8080,shut-none | grep -q HTTP`,
        ),
    ],
    [
      'the source address of another member',
      async () => {
        await shell(rogue.container, `ip addr replace ${node(2)}/32 dev tun0`);
        return udp(
          rogue.container,
          `${node(1)}:${ports.shared.udp}`,
          undefined,
          `,bind=${node(2)}`,
        );
      },
      () => udp(partner, `${node(1)}:${ports.shared.udp}`),
    ],
    [
      'a flood of pings',
      // 20 in a second and 5 more at once are answered: half a second of flooding gets a sixth of its answers.
      async () => (await pings(partner, 200, '0.002')) > 100,
      async () => (await pings(partner, 3, '0.3')) === 3,
    ],
  ]);

  it('loses its flows with the run, and finds nothing new in its place', async () => {
    const [own] = [run(shared, 0)];
    const stream = await lab.engine.containers.openStream(partner, [
      'socat',
      '-T',
      '30',
      '-',
      `TCP:${node(1)}:${ports.shared.echo},connect-timeout=3`,
    ]);
    const heard: string[] = [];
    const reading = (async () => {
      for await (const line of stream.lines) heard.push(line);
    })();
    stream.write('before');
    await until('the flow stands', 20_000, () => heard.includes('before'));
    await lab.kill(shared);
    await until(
      'the run is gone',
      20_000,
      async () => !(await lab.node(1).openRuns()).includes(own.id),
    );
    stream.write('after');
    expect(await openPorts(partner, node(1), scanned())).toEqual([]);
    // A new run on this node, which may get the slot and the address of the one that ended.
    const next = await lab.startTask([lab.node(1), lab.node(3)]);
    const place = await placeOf(lab, run(next, 0));
    expect(
      await openPorts(partner, node(1), [...scanned(), ...(await portsOf(run(next, 0))).tcp]),
    ).toEqual([]);
    expect(await udp(partner, `${node(1)}:${ports.shared.udp}`)).toBe(false);
    expect(place.network).not.toBe('');
    expect(heard).not.toContain('after');
    stream.close();
    await reading;
  });
});

/** Address of a VPN client on the uplink. */
async function uplinkOf(client: string): Promise<string> {
  const networks = (await lab.engine.containers.find(client))?.networks ?? {};
  return networks[lab.vpn.uplink] ?? '';
}
