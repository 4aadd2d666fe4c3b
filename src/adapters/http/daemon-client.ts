import { request } from 'node:http';
import path from 'node:path';
import { ERROR_CATALOGUE, type ErrorCode, V6Error } from '../../core/errors.ts';
import {
  DAEMON_SOCKET,
  type DaemonNetwork,
  type DaemonStatus,
  type DaemonVpn,
  type Verdict,
} from '../../core/protocol/daemon.ts';
import { isRecord, type Unknowns } from '../../core/protocol/json.ts';
import type { DaemonClient } from '../../node/interfaces/daemon-client.ts';

/** Beside the time that the daemon itself was asked to wait. */
const ANSWER_LIMIT_MS = 15_000;
/** A renewal: a portal login, and a connection on up to two rungs. */
const RENEW_LIMIT_MS = 240_000;

interface Exchange {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
  readonly limitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The daemon whose control socket lies in `runDir`; `name` is for messages. Connects anew for each request. */
export function createDaemonClient(runDir: string, name: string): DaemonClient {
  const socketPath = path.join(runDir, DAEMON_SOCKET);
  const ask = async <T>(exchange: Exchange): Promise<T> =>
    (await exchangeOver(socketPath, name, exchange)) as unknown as T;
  const get = <T>(route: string): Promise<T> =>
    ask({ method: 'GET', path: route, limitMs: ANSWER_LIMIT_MS });
  /** Waits for a climb that is under way as well. */
  const climb = (route: string, signal?: AbortSignal, body?: unknown): Promise<Verdict> =>
    ask({ method: 'POST', path: route, body, limitMs: RENEW_LIMIT_MS, signal });
  return {
    status: () => get<DaemonStatus>('/status'),
    verdict: (waitMs, signal) =>
      ask<Verdict>({
        method: 'GET',
        path: `/verdict?waitMs=${Math.round(waitMs)}`,
        limitMs: waitMs + ANSWER_LIMIT_MS,
        signal,
      }),
    vpn: () => get<DaemonVpn>('/vpn'),
    renew: (force, signal) => climb('/vpn/renew', signal, { force }),
    disconnect: (signal) => climb('/vpn/disconnect', signal),
    release: (signal) => climb('/vpn/release', signal),
    connect: (signal) => climb('/vpn/connect', signal),
    network: () => get<DaemonNetwork>('/network'),
  };
}

async function exchangeOver(
  socketPath: string,
  name: string,
  exchange: Exchange,
): Promise<Unknowns> {
  const limit = AbortSignal.timeout(exchange.limitMs);
  let answer: { status: number; text: string };
  try {
    answer = await send(
      socketPath,
      exchange,
      exchange.signal === undefined ? limit : AbortSignal.any([limit, exchange.signal]),
    );
  } catch (error) {
    if (exchange.signal?.aborted) throw exchange.signal.reason;
    throw unanswered(error, { socketPath, name, limitMs: exchange.limitMs });
  }
  const body = jsonOf(answer.text);
  if (body !== undefined && answer.status === 200) return body;
  throw refused(body, answer.status);
}

function send(
  socketPath: string,
  { method, path: route, body }: Exchange,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? '' : JSON.stringify(body);
    const outgoing = request(
      {
        socketPath,
        method,
        path: route,
        signal,
        agent: false,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(payload),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

function unanswered(
  error: unknown,
  { socketPath, name, limitMs }: { socketPath: string; name: string; limitMs: number },
): V6Error {
  const { code, name: kind } = error as { code?: string; name?: string };
  if (code === 'EACCES' || code === 'EPERM') {
    return new V6Error('V6_NET_PRIVILEGE', `May not open the control socket ${socketPath}`, {
      cause: error,
      hints: ['Run the command as the user who started the node, or as root.'],
    });
  }
  if (kind === 'TimeoutError' || code === 'ABORT_ERR') {
    return new V6Error(
      'V6_NODE_NOT_READY',
      `The node ${name} did not answer within ${limitMs} ms`,
      {
        cause: error,
        hints: [`See what it does: v6 node logs --name ${name}`],
      },
    );
  }
  return new V6Error('V6_NODE_NOT_RUNNING', `The node ${name} is not running`, {
    cause: error,
    hints: [`Start it: v6 node start --name ${name}`],
    details: { socket: socketPath },
  });
}

function jsonOf(text: string): Unknowns | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function refused(body: Unknowns | undefined, status: number): V6Error {
  const { code, msg, hints, details } = body ?? {};
  const isKnown = typeof code === 'string' && Object.hasOwn(ERROR_CATALOGUE, code);
  return new V6Error(
    isKnown ? (code as ErrorCode) : 'V6_NODE_NOT_READY',
    typeof msg === 'string' ? msg : `The daemon answered ${status} without a reason`,
    {
      hints: Array.isArray(hints) ? hints.filter((hint) => typeof hint === 'string') : [],
      details: isRecord(details) ? details : {},
    },
  );
}
