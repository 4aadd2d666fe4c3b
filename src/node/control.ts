import { chmod, chown, mkdir, rm, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createConnection } from 'node:net';
import path from 'node:path';
import { toV6Error, V6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { DAEMON_SOCKET } from '../core/protocol/daemon.ts';
import { isRecord } from '../core/protocol/json.ts';
import { redactText } from '../core/redact.ts';
import type { DaemonControl } from './interfaces/daemon-control.ts';

export interface ControlServer {
  readonly socketPath: string;
  /** Ends all connections and removes the socket. May be repeated. */
  close(): Promise<void>;
}

/** unix(7): 108 bytes with the final zero. */
const LONGEST_SOCKET_PATH = 107;
const LONGEST_WAIT_MS = 120_000;
const BODY_LIMIT = 4096;

/**
 * Serves the protocol of core/protocol/daemon.ts on `daemon.sock` in `runDir`, for its owner and group (0660). A socket that a
 * crash left behind is removed. Throws V6_NODE_ALREADY_RUNNING when another daemon answers there, V6_CONFIG_INVALID when the
 * path is too long.
 */
export async function serveControl(
  control: DaemonControl,
  { runDir, logger }: { readonly runDir: string; readonly logger: Logger },
): Promise<ControlServer> {
  const socketPath = path.join(runDir, DAEMON_SOCKET);
  checkSocketPath(socketPath);
  await mkdir(runDir, { recursive: true, mode: 0o750 });
  await removeStaleSocket(socketPath);
  const server = createServer((request, response) => {
    void answer(control, request, response, logger);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  // The folder was made by whoever started the node on the host: the socket is theirs as well.
  const folder = await stat(runDir);
  await chown(socketPath, folder.uid, folder.gid);
  await chmod(socketPath, 0o660);
  return { socketPath, close: () => close(server, socketPath) };
}

/** Throws V6_CONFIG_INVALID for a socket path that the system cannot hold. */
export function checkSocketPath(socketPath: string): void {
  const bytes = Buffer.byteLength(socketPath);
  if (bytes <= LONGEST_SOCKET_PATH) return;
  throw new V6Error(
    'V6_CONFIG_INVALID',
    `The path of the control socket has ${bytes} bytes, ${LONGEST_SOCKET_PATH} are possible: ${socketPath}`,
    { hints: ['Give the node a shorter name, or set XDG_RUNTIME_DIR to a shorter path.'] },
  );
}

async function removeStaleSocket(socketPath: string): Promise<void> {
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = createConnection(socketPath);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (isAlive) {
    throw new V6Error('V6_NODE_ALREADY_RUNNING', `Another daemon answers on ${socketPath}`, {
      hints: ['See what runs: v6 node status', 'Stop it first: v6 node stop'],
    });
  }
  await rm(socketPath, { force: true });
}

async function close(server: Server, socketPath: string): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
  await rm(socketPath, { force: true });
}

async function answer(
  control: DaemonControl,
  request: IncomingMessage,
  response: ServerResponse,
  logger: Logger,
): Promise<void> {
  try {
    send(response, 200, await route(control, request));
  } catch (thrown) {
    const error = toV6Error(thrown);
    if (error.code === 'V6_BUG') logger.error('A control request failed', { error: thrown });
    send(response, error.entry.httpStatus, {
      code: error.code,
      msg: redactText(error.message),
      hints: error.hints,
      details: error.details,
    });
  }
}

async function route(control: DaemonControl, request: IncomingMessage): Promise<unknown> {
  const url = new URL(request.url ?? '/', 'http://daemon');
  switch (`${request.method} ${url.pathname}`) {
    case 'GET /status':
      return control.status();
    case 'GET /verdict':
      return control.verdict(waitOf(url.searchParams.get('waitMs')));
    case 'POST /vpn/renew': {
      const body = await bodyOf(request);
      return control.renew(isRecord(body) && body.force === true);
    }
    case 'GET /vpn':
      return control.vpn();
    case 'POST /vpn/disconnect':
      return control.disconnect();
    case 'POST /vpn/release':
      return control.release();
    case 'POST /vpn/connect':
      return control.connect();
    case 'GET /network':
      return control.network();
    default:
      throw new V6Error(
        'V6_REQUEST_NOT_FOUND',
        `The daemon has no ${request.method} ${url.pathname}`,
        { hints: ['The daemon may be older than this command: v6 node stop, v6 node start'] },
      );
  }
}

function waitOf(text: string | null): number {
  const waitMs = Number(text ?? '0');
  if (Number.isInteger(waitMs) && waitMs >= 0) return Math.min(waitMs, LONGEST_WAIT_MS);
  throw new V6Error('V6_REQUEST_INVALID', `waitMs is not a number of ms: ${JSON.stringify(text)}`);
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_LIMIT) throw new V6Error('V6_REQUEST_INVALID', 'The request is too long');
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  if (text === '') return {};
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new V6Error('V6_REQUEST_INVALID', 'The request is not JSON', { cause: error });
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
