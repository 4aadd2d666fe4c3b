import { setTimeout as sleep } from 'node:timers/promises';
import type { AlgorithmAddress, RunStatus } from '../core/protocol/entities.ts';
import { isRecord, type Unknowns } from '../core/protocol/json.ts';
import { type AlgorithmInput, encodeInput } from './input.ts';
import type { AlgorithmIdentity } from './token.ts';

/** Which addresses to ask for; without flags those of all runs of the own task (vantage6 4.14, server resource/port.py). */
export interface AddressFlags {
  readonly onlyChildren?: boolean;
  readonly onlyParent?: boolean;
  readonly onlySiblings?: boolean;
  readonly onlySelf?: boolean;
  readonly includeChildren?: boolean;
  readonly includeParent?: boolean;
  readonly label?: string;
}

/** The result of one run of a sub-task; `value` is null when the run left none. */
export interface SubTaskResult {
  readonly organization: number;
  readonly run: number;
  readonly status: RunStatus;
  readonly value: unknown;
}

export interface ClientOptions {
  readonly baseUrl: string;
  readonly token: string;
  readonly identity: AlgorithmIdentity;
  /** Limit of one exchange, in ms. */
  readonly timeoutMs?: number;
}

/** The answer of the server, passed on by the node's proxy, was a refusal. */
export class ServerRefusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * What an algorithm may ask of the network: its node's proxy passes it on to the coordination server. Every call is one
 * exchange and is never repeated; it throws `ServerRefusal` on an error status and the error of `fetch` without an answer.
 */
export class AlgorithmClient {
  readonly identity: AlgorithmIdentity;
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.identity = options.identity;
    this.#options = options;
  }

  readonly vpn = {
    getAddresses: async (
      flags: AddressFlags = {},
      signal?: AbortSignal,
    ): Promise<readonly AlgorithmAddress[]> => {
      const body = await this.#get(`/vpn/algorithm/addresses${addressQuery(flags)}`, signal);
      const { addresses } = isRecord(body) ? body : {};
      if (!Array.isArray(addresses)) throw new Error('the answer holds no addresses');
      return addresses as AlgorithmAddress[];
    },
  };

  readonly organization = {
    /** Ids of the organizations in the own collaboration, or study. */
    list: async (signal?: AbortSignal): Promise<readonly number[]> => {
      const { study, collaboration } = this.identity;
      const filter = study === null ? `collaboration_id=${collaboration}` : `study_id=${study}`;
      const items = await this.#pages(`/organization?${filter}`, signal);
      return items.map((item) => item.id as number);
    },
  };

  readonly task = {
    /** Starts a sub-task of the own image on these organizations; returns its id. */
    create: async (
      input: AlgorithmInput,
      organizations: readonly number[],
      signal?: AbortSignal,
    ): Promise<number> => {
      const { image, collaboration, study, store, node } = this.identity;
      const encoded = encodeInput(input);
      const body = await this.#exchange('POST', '/task', signal, {
        name: 'subtask',
        description: `task from container on node_id=${node}`,
        image,
        collaboration_id: collaboration,
        organizations: organizations.map((id) => ({ id, input: encoded })),
        ...(study === null ? {} : { study_id: study }),
        ...(store === null ? {} : { store_id: store }),
      });
      if (!isRecord(body) || !Number.isInteger(body.id))
        throw new Error('the server answered without a task id');
      return body.id as number;
    },

    status: async (task: number, signal?: AbortSignal): Promise<RunStatus> => {
      const body = await this.#get(`/task/${task}/status`, signal);
      if (!isRecord(body) || typeof body.status !== 'string')
        throw new Error(`the server answered without a status of task ${task}`);
      return body.status as RunStatus;
    },
  };

  readonly result = {
    /** All results of a task with the organization of each, in the order of their runs. */
    fromTask: async (task: number, signal?: AbortSignal): Promise<readonly SubTaskResult[]> => {
      const runs = await this.#pages(`/run?task_id=${task}`, signal);
      const results = await this.#pages(`/result?task_id=${task}`, signal);
      const texts = new Map(results.map((item) => [relatedId(item.run), item.result]));
      return runs
        .map((run) => ({
          organization: relatedId(run.organization) ?? 0,
          run: run.id as number,
          status: run.status as RunStatus,
          value: decodeResult(texts.get(run.id as number)),
        }))
        .toSorted((a, b) => a.run - b.run);
    },
  };

  /** Waits until every run of the task has ended. Reads are repeated while the server is away; throws after `limitMs`. */
  async waitForResults(
    task: number,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<readonly SubTaskResult[]> {
    const limit = AbortSignal.any([AbortSignal.timeout(limitMs), signal]);
    let lastError: unknown;
    for (let pauseMs = 100; !limit.aborted; pauseMs = Math.min(1000, pauseMs * 1.5)) {
      try {
        const runs = await this.#pages(`/run?task_id=${task}`, limit);
        if (runs.length > 0 && runs.every((run) => run.finished_at !== null))
          return await this.result.fromTask(task, limit);
      } catch (error) {
        if (error instanceof ServerRefusal && error.status < 500) throw error;
        lastError = error;
      }
      await sleep(pauseMs, undefined, { signal: limit }).catch(() => undefined);
    }
    signal.throwIfAborted();
    throw new Error(`task ${task} has not ended within ${limitMs} ms`, { cause: lastError });
  }

  async #pages(path: string, signal?: AbortSignal): Promise<readonly Unknowns[]> {
    const items: Unknowns[] = [];
    for (let page = 1; ; page += 1) {
      const body = await this.#get(`${path}&page=${page}`, signal);
      if (!isRecord(body) || !Array.isArray(body.data))
        throw new Error(`the answer to ${path} is not a list`);
      items.push(...body.data.filter(isRecord));
      if (!isRecord(body.links) || typeof body.links.next !== 'string') return items;
    }
  }

  #get(path: string, signal?: AbortSignal): Promise<unknown> {
    return this.#exchange('GET', path, signal);
  }

  async #exchange(
    method: string,
    path: string,
    signal?: AbortSignal,
    body?: unknown,
  ): Promise<unknown> {
    const limit = AbortSignal.timeout(this.#options.timeoutMs ?? 10_000);
    const response = await fetch(`${this.#options.baseUrl}${path}`, {
      method,
      redirect: 'error',
      headers: {
        authorization: `Bearer ${this.#options.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
    });
    const answer: unknown = await response.json();
    if (response.ok) return answer;
    const reason = isRecord(answer) && typeof answer.msg === 'string' ? answer.msg : 'no reason';
    throw new ServerRefusal(
      response.status,
      `${method} ${path} was answered ${response.status}: ${reason}`,
    );
  }
}

const FLAG_NAMES = {
  onlyChildren: 'only_children',
  onlyParent: 'only_parent',
  onlySiblings: 'only_siblings',
  onlySelf: 'only_self',
  includeChildren: 'include_children',
  includeParent: 'include_parent',
} as const;

/** True flags are sent as `1`, others not at all: upstream's servers read any text as true. */
function addressQuery(flags: AddressFlags): string {
  const query = new URLSearchParams();
  for (const [ours, wire] of Object.entries(FLAG_NAMES))
    if (flags[ours as keyof typeof FLAG_NAMES]) query.set(wire, '1');
  if (flags.label !== undefined) query.set('label', flags.label);
  return query.size === 0 ? '' : `?${query.toString()}`;
}

function relatedId(relation: unknown): number | undefined {
  return isRecord(relation) && typeof relation.id === 'number' ? relation.id : undefined;
}

function decodeResult(text: unknown): unknown {
  if (typeof text !== 'string' || text === '') return null;
  return JSON.parse(Buffer.from(text, 'base64').toString('utf8')) as unknown;
}
