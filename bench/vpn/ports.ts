import type { PortMapping } from '../../src/core/vpn/tunnel.ts';
import { TUNNEL_PORTS } from '../../src/core/vpn/tunnel.ts';
import { EngineApi } from '../../test/support/engine-api.ts';
import { type LabNode, VpnLab } from '../../test/support/vpn-lab.ts';
import type { BenchInput } from '../benchmarks.ts';
import { atMost, type BenchDocument } from '../document.ts';
import { round, type Spread, spread, wallClock } from '../statistics.ts';
import { Upstream } from './upstream.ts';

const COUNTS = [1, 10, 100, 1000] as const;
/** A program's argument ends at 128 KiB (execve(2)): the one shell line of upstream's way has room for about 700 ports. */
const ONE_EXEC_MAX = 100;
/** Of the slow way only so many, of two rules each: it takes seconds. */
const ONE_BY_ONE_MAX = 10;
const RUN = 1;
const FIRST_CONTAINER_PORT = 2000;

export interface PortFigures extends Spread {
  readonly way: 'v6' | 'upstream, one exec' | 'upstream, an exec per rule';
  readonly what: 'apply' | 'remove' | 'apply and remove';
  readonly ports: number;
}

/** Port mappings of one run, on and off, through the VPN client as the node drives it. */
export async function benchPorts(input: BenchInput): Promise<BenchDocument> {
  const lab = await VpnLab.open('benchports');
  const upstream = new Upstream({
    api: new EngineApi(),
    image: lab.sandbox.image,
    name: 'v6-bench-ports',
    label: 'v6.bench=ports',
    ports: [],
    algorithm: { image: lab.sandbox.image, command: [] },
  });
  try {
    const node = await lab.addNode(1);
    await upstream.prepare();
    const figures: PortFigures[] = [];
    for (const ports of COUNTS) {
      input.signal.throwIfAborted();
      figures.push(...(await measureOurs(node, ports, input.rounds)));
      figures.push(...(await measureUpstream(upstream, ports, Math.ceil(input.rounds / 5))));
      input.said(`${ports} ports`);
    }
    return documentOf(figures);
  } finally {
    await upstream.remove();
    await lab.remove();
  }
}

async function measureOurs(node: LabNode, ports: number, rounds: number): Promise<PortFigures[]> {
  const mappings = mappingsOf(node, ports);
  const applied: number[] = [];
  const removed: number[] = [];
  // The first does not count: compiled code is part of a node that runs for weeks.
  for (let at = -1; at < rounds; at += 1) {
    const began = wallClock();
    await apply(node, mappings);
    const between = wallClock();
    await remove(node);
    if (at < 0) continue;
    applied.push(between - began);
    removed.push(wallClock() - between);
  }
  const both = applied.map((ms, at) => ms + (removed[at] ?? Number.NaN));
  return [
    { way: 'v6', what: 'apply', ports, ...spread(applied) },
    { way: 'v6', what: 'remove', ports, ...spread(removed) },
    { way: 'v6', what: 'apply and remove', ports, ...spread(both) },
  ];
}

function mappingsOf(node: LabNode, count: number): readonly PortMapping[] {
  const address = algorithmOf(node);
  return Array.from({ length: count }, (_, at) => ({
    protocol: at % 2 === 0 ? 'tcp' : 'udp',
    tunnelPort: TUNNEL_PORTS.first + at,
    address,
    port: FIRST_CONTAINER_PORT + at,
    label: null,
  }));
}

const apply = (node: LabNode, mappings: readonly PortMapping[]): Promise<void> =>
  node.client.applyRun(RUN, {
    task: 1,
    parent: null,
    algorithm: algorithmOf(node),
    mappings,
    peers: [node.vpnAddress],
    destinations: [],
  });

const remove = (node: LabNode): Promise<void> => node.client.removeRun(RUN, algorithmOf(node));

function algorithmOf({ slots: [slot] }: LabNode) {
  if (slot === undefined) throw new Error('The node has no slot.');
  return slot.algorithm;
}

async function measureUpstream(
  upstream: Upstream,
  count: number,
  rounds: number,
): Promise<PortFigures[]> {
  if (count > ONE_EXEC_MAX) return [];
  const ports = Array.from({ length: count }, (_, at) => FIRST_CONTAINER_PORT + at);
  const address = '172.31.255.2';
  const together: number[] = [];
  const oneByOne: number[] = [];
  for (let at = 0; at < rounds; at += 1) {
    together.push(await upstream.applyPorts(address, ports));
    await upstream.forgetPorts();
    if (count > ONE_BY_ONE_MAX) continue;
    oneByOne.push(await upstream.applyPortsOneByOne(address, ports));
    await upstream.forgetPorts();
  }
  return [
    { way: 'upstream, one exec', what: 'apply', ports: count, ...spread(together) },
    ...(oneByOne.length === 0
      ? []
      : [
          {
            way: 'upstream, an exec per rule',
            what: 'apply',
            ports: count,
            ...spread(oneByOne),
          } as const,
        ]),
  ];
}

function documentOf(figures: readonly PortFigures[]): BenchDocument {
  const find = (way: PortFigures['way'], what: PortFigures['what'], ports: number) =>
    figures.find((row) => row.way === way && row.what === what && row.ports === ports);
  const both = (ports: number): number => find('v6', 'apply and remove', ports)?.p50 ?? Number.NaN;
  const ratios = COUNTS.flatMap((ports) =>
    (['upstream, one exec', 'upstream, an exec per rule'] as const).flatMap((way) => {
      const [ours, theirs] = [find('v6', 'apply', ports), find(way, 'apply', ports)];
      if (ours === undefined || theirs === undefined) return [];
      return [{ what: `apply, ${way} to v6`, ports, ratio: round(theirs.p50 / ours.p50) }];
    }),
  );
  return {
    name: 'ports',
    unit: 'ms',
    figures,
    ratios,
    goals: [
      atMost('1000 ports applied and removed, p50', both(1000), 60),
      // Ten times as many cost at most ten times as much.
      atMost('1000 ports to 100', round(both(1000) / both(100)), 10),
    ],
  };
}
