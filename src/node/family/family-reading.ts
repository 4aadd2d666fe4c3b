import { type Cidr, containsAddress, type Ipv4, isIpv4 } from '../../core/net/ipv4.ts';
import type { Destination } from '../../core/vpn/task-firewall.ts';
import type { CoordinatorFamily, FamilyRun } from '../interfaces/coordinator.ts';
import type { KnownAddresses } from './known-addresses.ts';

/** A task as a run of ours has it. */
export interface FamilyOf {
  readonly task: number;
  readonly parent: number | null;
}

/** Who takes part in a family now, and where. */
export interface FamilyReading {
  readonly peers: readonly Ipv4[];
  readonly destinations: readonly Destination[];
  /** Child tasks that had open runs. */
  readonly children: readonly number[];
  /** Addresses outside vpn_subnet, which are left out. */
  readonly strangers: readonly string[];
}

/** One reading each for all who ask about the same task. */
export class FamilyReader {
  readonly #server: CoordinatorFamily;
  readonly #known: KnownAddresses;
  readonly #signal: AbortSignal;
  readonly #runs = new Map<number, Promise<readonly FamilyRun[]>>();
  readonly #children = new Map<number, Promise<readonly number[]>>();

  constructor(server: CoordinatorFamily, known: KnownAddresses, signal: AbortSignal) {
    this.#server = server;
    this.#known = known;
    this.#signal = signal;
  }

  /**
   * The family of a task: its own runs, those of its parent, and those of its children. `known` are children that were alive
   * before: the server lists the newest children, and an old one may live on. Rejects with what the server says.
   */
  async read(
    of: FamilyOf,
    options: { readonly self: number; readonly subnet: Cidr; readonly known: readonly number[] },
  ): Promise<FamilyReading> {
    const [own, above, below] = await Promise.all([
      this.#runsOf(of.task),
      of.parent === null ? [] : this.#runsOf(of.parent),
      this.#below(of.task, options.known),
    ]);
    const runs = [...own, ...above, ...below.flatMap(({ runs: list }) => list)];
    const others = runs.filter((run) => run.node !== options.self);
    const children = below.filter(({ runs: list }) => list.length > 0).map(({ task }) => task);
    return { ...collect(this.#located(others), options.subnet), children };
  }

  /** First those that have an address: one that another node has now is not remembered for the node before. */
  #located(runs: readonly FamilyRun[]): readonly FamilyRun[] {
    const here = runs.filter(({ address }) => address !== null);
    const away = runs.filter(({ address }) => address === null);
    return [...here, ...away].map((run) => ({ ...run, address: this.#known.addressOf(run) }));
  }

  async #below(task: number, known: readonly number[]) {
    const newest = await this.#childrenOf(task);
    const ids = [...new Set([...newest, ...known])];
    return Promise.all(ids.map(async (id) => ({ task: id, runs: await this.#runsOf(id) })));
  }

  #runsOf(task: number): Promise<readonly FamilyRun[]> {
    return once(this.#runs, task, () => this.#server.openRuns(task, this.#signal));
  }

  #childrenOf(task: number): Promise<readonly number[]> {
    return once(this.#children, task, () => this.#server.openChildren(task, this.#signal));
  }
}

function once<T>(memory: Map<number, Promise<T>>, key: number, ask: () => Promise<T>): Promise<T> {
  const known = memory.get(key);
  if (known !== undefined) return known;
  const asked = ask();
  memory.set(key, asked);
  return asked;
}

function collect(
  runs: readonly FamilyRun[],
  subnet: Cidr,
): Pick<FamilyReading, 'peers' | 'destinations' | 'strangers'> {
  const peers = new Set<Ipv4>();
  const strangers = new Set<string>();
  const destinations = new Map<string, Destination>();
  for (const { address, ports } of runs) {
    if (address === null) continue;
    if (!isIpv4(address) || !containsAddress(subnet, address)) {
      strangers.add(address);
      continue;
    }
    peers.add(address);
    for (const { port, protocol } of ports)
      for (const one of destinationsAt(address, port, protocol))
        destinations.set(destinationKey(one), one);
  }
  return {
    peers: [...peers],
    destinations: [...destinations.values()],
    strangers: [...strangers],
  };
}

/** A server that does not tell the protocol of a port has registered it for both. */
export function destinationsAt(
  address: Ipv4,
  port: number,
  protocol: 'tcp' | 'udp' | undefined,
): readonly Destination[] {
  const protocols = protocol === undefined ? (['tcp', 'udp'] as const) : [protocol];
  return protocols.map((each) => ({ address, protocol: each, port }));
}

export function destinationKey({ address, protocol, port }: Destination): string {
  return `${address} ${protocol} ${port}`;
}
