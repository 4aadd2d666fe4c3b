import autocannon from 'autocannon';
import { ask, createTask, IMAGE, type Peer } from './peer.ts';
import { round, type Spread, spread } from './statistics.ts';

/** Shapes with the same number of addresses in the answer. */
export const SHAPES = [
  { runs: 10, portsPerRun: 100 },
  { runs: 1000, portsPerRun: 1 },
] as const;

const CONNECTIONS = [1, 8] as const;
/** What the answer must hold, or something else was measured. */
const ADDRESSES = 1000;

export interface AddressFigures extends Spread {
  readonly server: Peer['name'];
  readonly shape: string;
  readonly connections: number;
  readonly perSecond: number;
  readonly bytes: number;
}

/** `GET /vpn/algorithm/addresses` without flags, as an algorithm's container asks, with 1 and with 8 connections. */
export async function measureAddresses(
  peer: Peer,
  shape: (typeof SHAPES)[number],
  seconds: number,
): Promise<AddressFigures[]> {
  const task = await createTask(peer, shape.runs);
  peer.addPorts(task, shape.portsPerRun);
  const { container_token: token } = await ask(peer, {
    method: 'POST',
    path: '/token/container',
    token: peer.nodes[0]?.token ?? '',
    body: { task_id: task, image: IMAGE },
  });
  const first = await ask(peer, { path: '/vpn/algorithm/addresses', token: String(token) });
  const found = (first.addresses as unknown[]).length;
  if (found !== ADDRESSES) throw new Error(`${peer.name}: ${found} addresses, not ${ADDRESSES}`);
  const figures: AddressFigures[] = [];
  for (const connections of CONNECTIONS) {
    const load = { peer, token: String(token), connections, seconds };
    // Compiled code and caches are part of a server that runs for weeks.
    if (peer.name === 'v6') await loadAddresses({ ...load, seconds: 2 });
    const { times, took, bytes } = await loadAddresses(load);
    figures.push({
      server: peer.name,
      shape: `${shape.runs} runs x ${shape.portsPerRun} ports`,
      connections,
      perSecond: round(times.length / took),
      bytes,
      ...spread(times),
    });
  }
  return figures;
}

interface Load {
  readonly peer: Peer;
  readonly token: string;
  readonly connections: number;
  readonly seconds: number;
}

/** Times of whole answers in ms; requests that the end of the run cut off do not count. */
async function loadAddresses({ peer, token, connections, seconds }: Load) {
  const times: number[] = [];
  let bytes = 0;
  let bad = 0;
  const began = performance.now();
  let last = began;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const instance = autocannon(
    {
      url: `${peer.origin}/api/vpn/algorithm/addresses`,
      headers: { authorization: `Bearer ${token}` },
      connections,
      // A slow server is given one request per connection at least.
      ...(peer.name === 'v6'
        ? { duration: seconds }
        : { amount: Math.max(3, connections) * Math.max(1, Math.round(seconds / 30)) }),
      timeout: 300,
    },
    (error) => (error instanceof Error ? reject(error) : resolve()),
  );
  instance.on('response', (_client, status, size, time) => {
    if (status !== 200) bad += 1;
    times.push(time);
    bytes = size;
    last = performance.now();
  });
  await promise;
  if (bad > 0) throw new Error(`${bad} answers of ${peer.name} were not 200`);
  return { times, took: (last - began) / 1000, bytes };
}
