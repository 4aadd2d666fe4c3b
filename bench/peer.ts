import { readFileSync } from 'node:fs';

/** A node that the seed made, as both servers know it. */
export interface BenchNode {
  readonly id: number;
  readonly organization: number;
  /** Undefined where a benchmark does not log in by key. */
  readonly apiKey: string | undefined;
  /** An access token. */
  readonly token: string;
}

/** A running server with one collaboration whose organizations have a node each. */
export interface Peer {
  readonly name: 'v6' | 'python';
  /** Scheme, host and port; the interface is below `/api`. */
  readonly origin: string;
  readonly collaboration: number;
  readonly nodes: readonly BenchNode[];
  /** Access token of a user in the first organization who may create tasks. */
  readonly userToken: string;
  /** Runs of the task become active with these ports per run, and nodes online with an address. */
  addPorts(task: number, perRun: number): void;
  /** Resident and proportional memory of all its processes, in MiB. */
  memory(): Memory;
  stop(): Promise<void>;
}

export interface Memory {
  readonly rssMiB: number;
  readonly pssMiB: number;
}

export const IMAGE = 'registry.example/bench:1';
export const INPUT = Buffer.from('{"method":"bench"}').toString('base64');

/** VmRSS and Pss of these processes added up (proc(5)). */
export function memoryOf(pids: readonly number[]): Memory {
  let rss = 0;
  let pss = 0;
  for (const pid of pids) {
    rss += field(`/proc/${pid}/status`, 'VmRSS');
    pss += field(`/proc/${pid}/smaps_rollup`, 'Pss');
  }
  const toMiB = (kib: number): number => Math.round(kib / 102.4) / 10;
  return { rssMiB: toMiB(rss), pssMiB: toMiB(pss) };
}

function field(file: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(file, 'utf8'))?.[1] ?? 0);
}

/** A request with a JSON answer of 2xx. Throws with status and body for anything else. */
export async function ask(
  peer: { readonly origin: string },
  request: {
    readonly method?: 'GET' | 'POST' | 'PATCH';
    readonly path: string;
    readonly token?: string;
    readonly body?: unknown;
  },
): Promise<Record<string, unknown>> {
  const { method = 'GET', path, token, body } = request;
  const answer = await fetch(`${peer.origin}/api${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(300_000),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 300)}`);
  return JSON.parse(text) as Record<string, unknown>;
}

/** A task for all nodes of the peer, or the first ones; its id. */
export async function createTask(
  peer: Pick<Peer, 'origin' | 'userToken' | 'nodes' | 'collaboration'>,
  targets = peer.nodes.length,
): Promise<number> {
  const { id } = await ask(peer, {
    method: 'POST',
    path: '/task',
    token: peer.userToken,
    body: {
      name: 'bench',
      description: '',
      image: IMAGE,
      collaboration_id: peer.collaboration,
      organizations: peer.nodes
        .slice(0, targets)
        .map(({ organization }) => ({ id: organization, input: INPUT })),
      databases: [],
    },
  });
  return Number(id);
}

/** Resolves when the answer is JSON; a broken server may answer with plain text. */
export async function untilReady(origin: string, limitMs: number): Promise<void> {
  const end = performance.now() + limitMs;
  for (;;) {
    try {
      await ask({ origin }, { path: '/version' });
      return;
    } catch (error) {
      if (performance.now() > end)
        throw new Error(`${origin} is not ready after ${limitMs} ms`, { cause: error });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Address of a seeded node in the VPN; a /16 has room for all. */
export const addressOf = (at: number): string => `10.76.${(at >> 8) & 255}.${at & 255}`;
