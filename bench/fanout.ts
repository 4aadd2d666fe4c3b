import { setTimeout } from 'node:timers/promises';
import { type Load, startLoad } from './load.ts';
import { createTask, type Memory, type Peer } from './peer.ts';
import { startProbe } from './probe.ts';
import { round, type Spread, spread, wallClock } from './statistics.ts';

export interface FanoutFigures {
  readonly server: Peer['name'];
  readonly transport: 'websocket' | 'polling';
  /** Whether each node reads its run after the event. */
  readonly reads: boolean;
  readonly nodes: number;
  readonly connectedMs: number;
  /** Answer of `POST /task`, from its start. */
  readonly post: Spread;
  /** The last node has the event. */
  readonly last: Spread;
  /** The last node has its run. */
  readonly lastRead?: Spread;
  /** A steady REST call from the start of the POST until the last node is done; ours only, upstream answers none by then. */
  readonly probe?: Spread;
  readonly before: Memory;
  readonly connected: Memory;
  readonly after: Memory;
}

export interface FanoutKind {
  readonly transport: 'websocket' | 'polling';
  readonly reads: boolean;
  readonly rounds: number;
}

/** A slow server on a busy machine needs minutes for a thousand nodes. */
const LIMIT_MS = 300_000;
/** Connecting costs a server more than holding; upstream's takes half a minute for a thousand. */
const SETTLE_MS = 2000;

/** `POST /task` for all nodes until the last of them has `new_task`. */
export async function measureFanout(peer: Peer, kind: FanoutKind): Promise<FanoutFigures> {
  const load = startLoad();
  try {
    const before = peer.memory();
    const { times } = await load.do({
      type: 'connect',
      origin: peer.origin,
      transport: kind.transport,
      nodes: peer.nodes.map(({ id, token }) => ({ id, token })),
      atOnce: peer.name === 'v6' ? peer.nodes.length : 20,
    });
    await setTimeout(SETTLE_MS);
    const connected = peer.memory();
    const rounds = await measureRounds(peer, kind, load);
    return {
      server: peer.name,
      transport: kind.transport,
      reads: kind.reads,
      nodes: peer.nodes.length,
      connectedMs: round(times[0] ?? 0),
      ...rounds,
      before,
      connected,
      after: peer.memory(),
    };
  } finally {
    await load.stop();
  }
}

async function measureRounds(peer: Peer, kind: FanoutKind, load: Load) {
  const posts: number[] = [];
  const lasts: number[] = [];
  const reads: number[] = [];
  const probed: number[] = [];
  // The first round does not count: compiled code is part of a server that runs for weeks.
  for (let at = -1; at < kind.rounds; at += 1) {
    const { answer } = await load.listen({ reads: kind.reads, limitMs: LIMIT_MS });
    const probe =
      peer.name === 'v6'
        ? startProbe(peer.origin, `/node/${peer.nodes[0]?.id}`, peer.userToken)
        : undefined;
    await setTimeout(300);
    const began = wallClock();
    await createTask(peer);
    const posted = wallClock() - began;
    const { times, readAt = [] } = await answer;
    const end = times.concat(readAt).reduce((a, b) => Math.max(a, b), 0);
    await probe?.stop();
    await setTimeout(500);
    if (at < 0) continue;
    posts.push(posted);
    lasts.push(times.reduce((a, b) => Math.max(a, b), 0) - began);
    if (kind.reads) reads.push(end - began);
    probed.push(...(probe?.between(began, end) ?? []));
  }
  return {
    post: spread(posts),
    last: spread(lasts),
    ...(reads.length > 0 ? { lastRead: spread(reads) } : {}),
    ...(probed.length > 0 ? { probe: spread(probed) } : {}),
  };
}
