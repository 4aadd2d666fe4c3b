import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressAt, type Cidr, type Ipv4 } from '../../../../src/core/net/ipv4.ts';
import {
  CLIENT_SETS,
  type ClientElements,
  type ClientState,
  parseStateFile,
  planElements,
  renderStateFile,
} from '../../../../src/core/vpn/client-elements.ts';
import {
  cutsOf,
  renderChange,
  renderFill,
  renderWhole,
} from '../../../../src/core/vpn/client-transaction.ts';
import { isFamily, type RunNetwork } from '../../../../src/core/vpn/task-firewall.ts';

const RANGE = '10.201.1.0/24' as Cidr;
const SUBNET = '10.202.0.0/16' as Cidr;
const slotAddress = (at: number): Ipv4 => addressAt(RANGE, at * 8 + 3);
const vpnAddress = (at: number): Ipv4 => addressAt(SUBNET, 10 + at);

const network = (at: number, more: Partial<RunNetwork> = {}): RunNetwork => ({
  task: 1,
  parent: null,
  algorithm: slotAddress(at),
  mappings: [
    {
      protocol: 'tcp',
      tunnelPort: 49152 + at,
      address: slotAddress(at),
      port: 8888,
      label: null,
    },
  ],
  peers: [vpnAddress(1)],
  destinations: [{ address: vpnAddress(1), protocol: 'udp', port: 50000 }],
  ...more,
});

const state = (...runs: readonly RunNetwork[]): ClientState => ({
  isolatedRange: RANGE,
  vpnSubnet: SUBNET,
  remotes: [],
  runs: new Map(runs.map((run, at) => [at + 1, run])),
});

/** What a state must hold, said another way: every pair of ends is asked for. */
function isAllowed(runs: readonly RunNetwork[], key: string): boolean {
  return runs.some((run) => {
    const received = run.peers.some((peer) =>
      run.mappings.some(
        ({ protocol, port }) => key === `${peer} . ${run.algorithm} . ${protocol} . ${port}`,
      ),
    );
    const sent = run.destinations.some(
      (to) => key === `${run.algorithm} . ${to.address} . ${to.protocol} . ${to.port}`,
    );
    const local = runs.some(
      (other) =>
        isFamily(run, other) &&
        other.mappings.some(
          ({ protocol, port }) =>
            key === `${run.algorithm} . ${other.algorithm} . ${protocol} . ${port}`,
        ),
    );
    return received || sent || local;
  });
}

const anyRuns = fc
  .array(
    fc.record({
      task: fc.integer({ min: 1, max: 6 }),
      parent: fc.option(fc.integer({ min: 1, max: 6 }), { nil: null }),
      ports: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
      peers: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
      destinations: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
    }),
    { maxLength: 5 },
  )
  .map((list) =>
    list.map(({ ports, peers, destinations, ...of }, at) =>
      network(at, {
        ...of,
        mappings: ports.map((port) => ({
          protocol: port % 2 === 0 ? 'udp' : 'tcp',
          tunnelPort: 49152 + at * 10 + port,
          address: slotAddress(at),
          port,
          label: null,
        })),
        peers: peers.map(vpnAddress),
        destinations: destinations.map((to) => ({
          address: vpnAddress(to),
          protocol: 'tcp' as const,
          port: 50_000 + to,
        })),
      }),
    ),
  );

describe('the elements of the task firewall', () => {
  it('let peers in to declared ports, and the algorithm out to registered ones and to its own', () => {
    const { ports, receiving, sending } = planElements(state(network(0)));
    expect([...ports]).toEqual([['tcp . 49152', '10.201.1.3 . 8888']]);
    expect([...receiving.keys()]).toEqual(['10.202.0.11 . 10.201.1.3 . tcp . 8888']);
    expect([...sending.keys()]).toEqual([
      '10.201.1.3 . 10.202.0.11 . udp . 50000',
      '10.201.1.3 . 10.201.1.3 . tcp . 8888',
    ]);
  });

  it('keep siblings and strangers of one node apart, and let parents and children meet', () => {
    const parent = network(0, { task: 1 });
    const child = network(1, { task: 2, parent: 1 });
    const sibling = network(2, { task: 3, parent: 1 });
    const stranger = network(3, { task: 9 });
    const { sending } = planElements(state(parent, child, sibling, stranger));
    const reaches = (from: number, to: number): boolean =>
      sending.has(`${slotAddress(from)} . ${slotAddress(to)} . tcp . 8888`);
    expect([reaches(0, 1), reaches(1, 0), reaches(0, 2), reaches(2, 0)]).toEqual(
      Array.from({ length: 4 }, () => true),
    );
    for (const [from, to] of [
      [1, 2],
      [2, 1],
      [0, 3],
      [3, 0],
      [1, 3],
    ] as const)
      expect(reaches(from, to), `${from} to ${to}`).toBe(false);
  });

  it('are exactly the pairs that a family allows, whatever runs there are', () => {
    fc.assert(
      fc.property(anyRuns, (runs) => {
        const { receiving, sending, ports } = planElements(state(...runs));
        for (const key of [...receiving.keys(), ...sending.keys()])
          expect(isAllowed(runs, key), key).toBe(true);
        const ends = [...runs.map(({ algorithm }) => algorithm), ...[1, 2, 3, 4].map(vpnAddress)];
        for (const source of ends)
          for (const destination of ends)
            for (const port of [1, 2, 3, 4, 50_001, 50_002, 50_003, 50_004])
              for (const protocol of ['tcp', 'udp']) {
                const key = `${source} . ${destination} . ${protocol} . ${port}`;
                expect(receiving.has(key) || sending.has(key), key).toBe(isAllowed(runs, key));
              }
        expect(ports.size).toBe(runs.flatMap(({ mappings }) => mappings).length);
      }),
    );
  });

  it.each<[string, Partial<RunNetwork>]>([
    ['a peer outside the VPN', { peers: ['192.0.2.1' as Ipv4] }],
    ['words for a peer', { peers: ["10.202.0.1'; reboot #" as Ipv4] }],
    [
      'a destination outside the VPN',
      { destinations: [{ address: '169.254.169.254' as Ipv4, protocol: 'tcp', port: 80 }] },
    ],
    ['a broken port', { destinations: [{ address: vpnAddress(1), protocol: 'tcp', port: 1.5 }] }],
    [
      'a strange protocol',
      { destinations: [{ address: vpnAddress(1), protocol: 'sctp' as 'tcp', port: 1 }] },
    ],
    ['an algorithm outside the slots', { algorithm: '10.201.2.3' as Ipv4, mappings: [] }],
    ['an algorithm that maps to another', { algorithm: slotAddress(7) }],
    [
      'a tunnel port below the pool',
      {
        mappings: [{ ...(network(0).mappings[0] as RunNetwork['mappings'][0]), tunnelPort: 1194 }],
      },
    ],
  ])('refuse %s', (_, more) => {
    expect(() => planElements(state(network(0, more)))).toThrow(
      expect.objectContaining({ code: 'V6_FIREWALL_APPLY' }),
    );
    expect(() => planElements(state(network(0)))).not.toThrow();
  });

  it('refuse a tunnel port or an address that two runs claim, and any peer while the VPN is off', () => {
    const same = network(1, {
      mappings: [
        { ...(network(0).mappings[0] as RunNetwork['mappings'][0]), address: slotAddress(1) },
      ],
    });
    expect(() => planElements(state(network(0), same))).toThrow(/held by run 1/);
    expect(() => planElements(state(network(0), network(0, { mappings: [] })))).toThrow(
      /of run 2 is that of run 1/,
    );
    expect(() => planElements({ ...state(network(0)), vpnSubnet: undefined })).toThrow(/peer/);
  });
});

/** A kernel for the commands that are rendered: all of a transaction or, where a command cannot be, an error. */
function apply(held: ClientElements, lines: readonly string[]): ClientElements {
  const sets = new Map(Object.entries(held).map(([name, set]) => [name, new Map(set)]));
  for (const line of lines) {
    const match =
      /^(flush|add|delete) (?:set|map|element) inet v6client (\w+)(?: \{ (.*) \})?$/.exec(line);
    const set = sets.get(match?.[2] ?? '');
    if (match === null || set === undefined) throw new Error(`not a command: ${line}`);
    const elements = (match[3] ?? '').split(', ').filter((text) => text !== '');
    if (match[1] === 'flush') set.clear();
    for (const element of elements) {
      const [key = '', value = ''] = element.split(' : ');
      if (match[1] === 'delete' && !set.delete(key)) throw new Error(`no element ${key}`);
      if (match[1] === 'add') {
        if ((set.get(key) ?? value) !== value) throw new Error(`${key} is there already`);
        set.set(key, value);
      }
    }
  }
  return Object.fromEntries(sets) as unknown as ClientElements;
}

describe('a transaction', () => {
  it('leads from any content to the wanted one, in a difference as well as from nothing', () => {
    fc.assert(
      fc.property(anyRuns, anyRuns, (one, two) => {
        const before = planElements(state(...one));
        const wanted = planElements(state(...two));
        const empty = planElements(state());
        expect(apply(before, renderChange(before, wanted))).toEqual(wanted);
        expect(apply(before, renderWhole(wanted))).toEqual(wanted);
        expect(apply(empty, renderFill(wanted))).toEqual(wanted);
        expect(renderChange(wanted, wanted)).toEqual([]);
      }),
    );
  });

  it('is made of digits, dots and its own words', () => {
    fc.assert(
      fc.property(anyRuns, (runs) => {
        for (const line of renderWhole(planElements(state(...runs))))
          expect(line).toMatch(/^[a-z0-9 .:{},]+$/);
      }),
    );
  });

  it('grows with what changes, not with what there is', () => {
    const many = network(0, {
      destinations: Array.from({ length: 4000 }, (_, at) => ({
        address: vpnAddress(at % 200),
        protocol: 'tcp' as const,
        port: 1000 + at,
      })),
    });
    const before = planElements(state(many));
    const lines = renderChange(before, planElements(state(many, network(1))));
    expect(lines.join('').length).toBeLessThan(500);
  });
});

describe('flows that are cut', () => {
  const withPorts = (...ports: readonly number[]): RunNetwork =>
    network(0, {
      destinations: ports.map((port) => ({ address: vpnAddress(1), protocol: 'tcp', port })),
    });

  it('are those between two addresses, or to one port where others stay', () => {
    const before = planElements(state(withPorts(1, 2)));
    expect(cutsOf(before, planElements(state(withPorts(2))))).toEqual([
      { source: '10.201.1.3', destination: '10.202.0.11', end: 'tcp 1' },
    ]);
    expect(cutsOf(before, planElements(state(withPorts())))).toEqual([
      { source: '10.201.1.3', destination: '10.202.0.11' },
    ]);
  });

  it('are none of those that stay allowed', () => {
    fc.assert(
      fc.property(anyRuns, anyRuns, (one, two) => {
        const wanted = planElements(state(...two));
        const cuts = cutsOf(planElements(state(...one)), wanted);
        for (const key of [...wanted.receiving.keys(), ...wanted.sending.keys()]) {
          const [source, destination, protocol, port] = key.split(' . ');
          const isCut = cuts.some(
            (cut) =>
              cut.source === source &&
              cut.destination === destination &&
              (cut.end ?? `${protocol} ${port}`) === `${protocol} ${port}`,
          );
          expect(isCut, key).toBe(false);
        }
      }),
    );
  });
});

describe('the state files', () => {
  it('hold one element per line, its words alone', () => {
    const { ports, receiving } = planElements(state(network(0)));
    expect(renderStateFile(ports)).toBe('tcp 49152 10.201.1.3 8888\n');
    expect(renderStateFile(receiving)).toBe('10.202.0.11 10.201.1.3 tcp 8888\n');
  });

  it('are read again as they were written, and a line that cannot be is left out', () => {
    const plan = planElements({
      ...state(network(0), network(1)),
      remotes: [{ address: '192.0.2.1' as Ipv4, port: 1194, protocol: 'udp' }],
    });
    for (const set of CLIENT_SETS)
      expect([...parseStateFile(set, renderStateFile(plan[set]))]).toEqual([...plan[set]]);
    expect(
      parseStateFile('sending', '1.2.3.4 5.6.7.8 tcp 1; reboot\n$(x) 5.6.7.8 tcp 1\n\n1.2.3.4')
        .size,
    ).toBe(0);
  });
});
