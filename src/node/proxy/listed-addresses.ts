import { V6Error } from '../../core/errors.ts';
import { isIpv4 } from '../../core/net/ipv4.ts';
import { isRecord } from '../../core/protocol/json.ts';
import type { Destination } from '../../core/vpn/task-firewall.ts';
import { destinationsAt } from '../family/family-reading.ts';

/** Lets the algorithm of a run reach addresses; both throw when that could not be done. */
export interface AddressSink {
  /** The answer holds addresses of the run's family and no others. */
  learn(run: number, listed: readonly Destination[]): Promise<void>;
  /** The answer may hold addresses of other tasks as well: only those of the family are allowed. */
  confirm(run: number, listed: readonly Destination[]): Promise<void>;
}

/**
 * Whose addresses an answer lists. `family`: the server limits it to the family of the token's task. `any`: runs of the
 * collaboration, with node and ports: `GET /run` of 4.x, and `GET /task/<id>/result` of 3.x, by which its algorithms find each
 * other. `target` is path and query below the api path.
 */
export function addressWorkOf(method: string, target: string): 'family' | 'any' | 'none' {
  if (method !== 'GET') return 'none';
  const path = (target.split('?')[0] ?? '').replace(/\/+$/, '');
  if (path === '/vpn/algorithm/addresses') return 'family';
  return /^\/(run(\/\d+)?|task\/\d+\/result)$/.test(path) ? 'any' : 'none';
}

/**
 * The addresses in an answer: `{addresses: [{ip, port, protocol?}]}`, or runs with `node.ip` and `ports`, one, a list of them, or
 * such a list in `data`. Empty for anything else: what is passed on is not judged here.
 */
export function listedAddresses(body: Uint8Array): readonly Destination[] {
  let answer: unknown;
  try {
    answer = JSON.parse(Buffer.from(body).toString('utf8'));
  } catch {
    return [];
  }
  if (isRecord(answer) && Array.isArray(answer.addresses))
    return answer.addresses.flatMap((one) => (isRecord(one) ? destinations(one.ip, one) : []));
  const data = isRecord(answer) && Array.isArray(answer.data) ? answer.data : [answer].flat();
  return data.flatMap((run) => {
    if (!isRecord(run) || !isRecord(run.node) || !Array.isArray(run.ports)) return [];
    const { ip } = run.node;
    return run.ports.flatMap((port) => (isRecord(port) ? destinations(ip, port) : []));
  });
}

function destinations(
  ip: unknown,
  { port, protocol }: { readonly port?: unknown; readonly protocol?: unknown },
): readonly Destination[] {
  const isGood =
    typeof ip === 'string' &&
    isIpv4(ip) &&
    typeof port === 'number' &&
    Number.isInteger(port) &&
    port >= 1 &&
    port <= 65_535;
  if (!isGood) return [];
  return destinationsAt(ip, port, protocol === 'tcp' || protocol === 'udp' ? protocol : undefined);
}

/**
 * The answer is not passed on: an algorithm that was told of an address calls it at once and fails for good, one that gets a 503
 * asks again.
 */
export function notYet(message: string, cause: unknown): V6Error {
  return new V6Error(
    'V6_NODE_NOT_READY',
    `The node could not open the way to these addresses: ${message}`,
    { hints: ['Ask again in a moment.'], cause },
  );
}
