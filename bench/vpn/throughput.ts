import type { BenchInput } from '../benchmarks.ts';
import { atLeast, type BenchDocument } from '../document.ts';
import { round, type Spread, spread } from '../statistics.ts';
import {
  openTunnelWorld,
  processorMs,
  runTraffic,
  type TunnelWorld,
  type Way,
} from './tunnel-world.ts';

const STREAM_MS = 3000;
const ROUND_TRIPS = 1000;

interface Sample {
  readonly mbits: number;
  /** One-byte round trips on one open connection, ms. */
  readonly roundTrips: readonly number[];
  /** Processor time of both VPN clients and of the VPN server for a megabyte, ms. */
  readonly clientMsPerMb: number;
  readonly serverMsPerMb: number;
}

export interface ThroughputFigures {
  readonly way: Way['name'];
  readonly mbitPerSecond: Spread;
  /** Of all round trips of all rounds. */
  readonly roundTrip: Spread;
  readonly clientMsPerMb: number;
  readonly serverMsPerMb: number;
}

/** One TCP stream and round trips between two algorithms, beside openvpn alone between the same keys, in turn. */
export async function benchThroughput(input: BenchInput): Promise<BenchDocument> {
  const world = await openTunnelWorld();
  try {
    const samples: Record<Way['name'], Sample[]> = { v6: [], bare: [] };
    for (const way of world.ways) await measure(world, way, STREAM_MS / 4);
    for (let at = 0; at < input.rounds; at += 1) {
      input.signal.throwIfAborted();
      const order = at % 2 === 0 ? world.ways : world.ways.toReversed();
      for (const way of order) samples[way.name].push(await measure(world, way, STREAM_MS));
      input.said(`round ${at + 1} of ${input.rounds}`);
    }
    return documentOf(samples);
  } finally {
    await world.remove();
  }
}

async function measure(world: TunnelWorld, way: Way, streamMs: number): Promise<Sample> {
  const before = await costs(world, way);
  const { bytes, ms } = (await runTraffic(world, way, 'stream', streamMs)) as {
    bytes: number;
    ms: number;
  };
  const after = await costs(world, way);
  // The start of a stream is not counted, but costs as much.
  const megabytes = (bytes / 1e6) * (streamMs / ms);
  return {
    mbits: (bytes * 8) / 1e3 / ms,
    roundTrips: (await runTraffic(world, way, 'rounds', ROUND_TRIPS)) as number[],
    clientMsPerMb: (after.clients - before.clients) / megabytes,
    serverMsPerMb: (after.server - before.server) / megabytes,
  };
}

async function costs({ api, server }: TunnelWorld, { clients }: Way) {
  return { clients: await processorMs(api, clients), server: await processorMs(api, [server]) };
}

function documentOf(samples: Readonly<Record<Way['name'], readonly Sample[]>>): BenchDocument {
  const figures = (['v6', 'bare'] as const).map((way) => figuresOf(way, samples[way]));
  const pairs = samples.v6.map(
    (sample, at) => (sample.mbits / (samples.bare[at]?.mbits ?? 0)) * 100,
  );
  const [v6, bare] = figures;
  const ratio = round(((v6?.mbitPerSecond.p50 ?? 0) / (bare?.mbitPerSecond.p50 ?? 0)) * 100);
  return {
    name: 'throughput',
    unit: 'ms',
    figures,
    ratios: [
      { what: 'throughput, % of bare, pair by pair', ...spread(pairs) },
      { what: 'throughput, % of bare, medians', ratio },
      {
        what: 'round trip, v6 to bare',
        p50: round((v6?.roundTrip.p50 ?? 0) / (bare?.roundTrip.p50 ?? 0)),
        p99: round((v6?.roundTrip.p99 ?? 0) / (bare?.roundTrip.p99 ?? 0)),
      },
    ],
    goals: [
      // Pairs, because a machine that is shared is now faster and now slower.
      atLeast('throughput, % of bare OpenVPN, p50 of the pairs', spread(pairs).p50, 95),
      atLeast('streams of each', samples.v6.length, 5),
    ],
  };
}

function figuresOf(way: Way['name'], samples: readonly Sample[]): ThroughputFigures {
  return {
    way,
    mbitPerSecond: spread(samples.map(({ mbits }) => mbits)),
    roundTrip: spread(samples.flatMap(({ roundTrips }) => roundTrips)),
    clientMsPerMb: spread(samples.map(({ clientMsPerMb }) => clientMsPerMb)).p50,
    serverMsPerMb: spread(samples.map(({ serverMsPerMb }) => serverMsPerMb)).p50,
  };
}
