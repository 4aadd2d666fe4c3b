import { startLoad } from './load.ts';
import type { Peer } from './peer.ts';
import { round, type Spread, spread } from './statistics.ts';

export interface LoginFigures extends Spread {
  readonly server: Peer['name'];
  /** Logging in at the same time; also the number of nodes in the database. */
  readonly nodes: number;
  /** Whether each reads its node, organization and collaboration afterwards. */
  readonly reads: boolean;
  /** Until the last one is done. */
  readonly allMs: number;
}

/** All nodes of the peer log in at once, and read what a starting node reads when `reads` says so. */
export async function measureLogin(peer: Peer, reads: boolean): Promise<LoginFigures> {
  const load = startLoad();
  try {
    const apiKeys = peer.nodes.flatMap(({ apiKey }) => (apiKey === undefined ? [] : [apiKey]));
    const { times } = await load.do({ type: 'login', origin: peer.origin, apiKeys, reads });
    return {
      server: peer.name,
      nodes: apiKeys.length,
      reads,
      allMs: round(Math.max(...times)),
      ...spread(times),
    };
  } finally {
    await load.stop();
  }
}
