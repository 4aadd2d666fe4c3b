import type { Server as HttpServer } from 'node:http';
import { setTimeout as startTimer } from 'node:timers';
import { setTimeout } from 'node:timers/promises';
import { Server } from 'socket.io';
import type { Clock } from '../../core/clock.ts';
import { DEFAULT_TRANSPORT, type TransportSettings } from '../../core/config/server-transport.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import {
  type ClientToServer,
  type ServerToClient,
  SOCKET_NAMESPACE,
} from '../../core/protocol/events.ts';
import { authenticate, type NodeIdentity } from '../auth/identity.ts';
import { handshakeGuard } from '../http/transport.ts';
import type { SocketCount } from '../interfaces/metrics.ts';
import { killOf } from '../services/kills.ts';
import { listAll } from '../services/list-all.ts';
import { answerOthers } from './acknowledge.ts';
import { broadcast } from './broadcast.ts';
import { cut } from './cut.ts';
import { refuseHandshakes } from './handshakes.ts';
import { handleNodeEvents } from './node-events.ts';
import { roomsOf } from './rooms.ts';
import type { SocketData, SocketDeps, TaskSocket, Tasks } from './sockets.ts';

/** How long a socket whose token was refused stays: Python nodes need the event, and come back with a new token. */
const REFUSED_MS = 5000;
/** Between `expired_token` to a live socket and its end. */
const EXPIRED_MS = 30_000;
/** For how long a kill that no node has confirmed is repeated. */
const REPEAT_KILLS_MS = 7 * 24 * 3_600_000;
/** For requests that are under way when the server stops. */
const LAST_REQUESTS_MS = 3000;
/** Longest delay of a timer in Node. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface Sockets {
  /** Those that are connected now. */
  count(): readonly SocketCount[];
  /** Cuts all of them, so that nodes come back, and waits a moment for requests that are under way. */
  close(): Promise<void>;
}

/**
 * The socket.io side, below `/socket.io/` of the same port: Engine.IO 4, polling and websocket, namespace `/tasks`. The token
 * is in the header of the first request, as Python nodes send it.
 */
export function attachSockets(http: HttpServer, deps: SocketDeps): Sockets {
  const { transport = DEFAULT_TRANSPORT } = deps;
  const isAllowed = handshakeGuard(transport);
  const io: Server<ClientToServer, ServerToClient, Record<string, never>, SocketData> = new Server(
    http,
    {
      serveClient: false,
      cors: { origin: originsOf(transport), credentials: true },
      allowRequest: (message, decide) => decide(null, isAllowed(message)),
      maxHttpBufferSize: 1024 * 1024,
      pingInterval: 25_000,
      pingTimeout: 20_000,
    },
  );
  refuseHandshakes(http, io.engine);
  const tasks: Tasks = io.of(SOCKET_NAMESPACE);
  tasks.use((socket, next) => {
    void admit(socket, deps, next);
  });
  tasks.on('connection', (socket) => {
    forgetRequest(socket);
    void welcome(socket, deps).catch((error: unknown) => {
      deps.logger.error('A socket could not be set up', { error });
      endAfter(socket, 0);
    });
  });
  broadcast(tasks, deps);
  return {
    count: () => countSockets(tasks),
    close: async () => {
      for (const { conn } of tasks.sockets.values()) cut(conn);
      // Ends with the last request; the caller cuts those that hang.
      await Promise.race([io.close(), setTimeout(LAST_REQUESTS_MS, undefined, { ref: false })]);
    },
  };
}

function countSockets(tasks: Tasks): readonly SocketCount[] {
  const counts = new Map<string, SocketCount>();
  for (const { data, conn } of tasks.sockets.values()) {
    const kind = data.authenticated?.identity.kind;
    const found = { kind: kind === 'user' || kind === 'node' ? kind : ('unknown' as const) };
    const transport = conn.transport.name;
    const key = `${found.kind} ${transport}`;
    counts.set(key, { ...found, transport, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts.values()];
}

/** The caller's own origin stands for all, as upstream has it: `*` and credentials do not go together. */
const originsOf = ({ corsOrigins }: TransportSettings): true | string[] =>
  corsOrigins === '*' ? true : [...corsOrigins];

async function admit(
  socket: TaskSocket,
  deps: SocketDeps,
  next: (error?: Error) => void,
): Promise<void> {
  let refused: Error | undefined;
  try {
    await deps.ready;
    await identify(socket, deps);
  } catch (error) {
    refused = refusal(error, deps.logger);
  }
  next(refused);
}

/** Lets expired and invalid tokens in for a moment, refuses everybody else without a good one. */
async function identify(socket: TaskSocket, deps: SocketDeps): Promise<void> {
  try {
    const authenticated = await authenticate(deps, socket.handshake.headers.authorization);
    if (authenticated.identity.kind === 'container')
      throw new V6Error('V6_AUTH_FORBIDDEN', 'Algorithm containers get no events');
    socket.data.authenticated = authenticated;
  } catch (error) {
    if (!isV6Error(error, 'V6_AUTH_TOKEN_EXPIRED', 'V6_AUTH_TOKEN_INVALID')) throw error;
    socket.data.authenticated = undefined;
    const event = error.code === 'V6_AUTH_TOKEN_EXPIRED' ? 'expired_token' : 'invalid_token';
    socket.data.refusedWith = event;
  }
}

function refusal(error: unknown, logger: Logger): Error {
  if (isV6Error(error)) return new Error(error.message);
  logger.error('A socket could not be identified', { error });
  return new Error('Internal error of the server');
}

async function welcome(socket: TaskSocket, deps: SocketDeps): Promise<void> {
  const { authenticated, refusedWith } = socket.data;
  if (authenticated === undefined) {
    socket.emit(refusedWith ?? 'invalid_token');
    endAfter(socket, REFUSED_MS);
    return;
  }
  const { identity, expiresAt } = authenticated;
  if (expiresAt !== undefined) expireAt(socket, expiresAt, deps.clock);
  if (identity.kind === 'user') {
    await socket.join([...roomsOf(identity)]);
    socket.on('ping', () => {
      deps.presence.seen('user', identity.id).catch((error: unknown) => {
        deps.logger.error('A ping of a user failed', { error });
      });
    });
    answerOthers(socket, new Set(['ping']));
    return;
  }
  if (identity.kind === 'container') return;
  handleNodeEvents(socket, identity, deps);
  await socket.join([...roomsOf(identity)]);
  socket.on('disconnect', () => deps.presence.disconnected(identity.id));
  await deps.presence.connected(identity.id);
  // After the rooms: a task that comes between the two is not missed.
  socket.emit('sync');
  await repeatKills(socket, identity, deps);
}

/** Kills that the node has not confirmed: it may have been away. */
async function repeatKills(
  socket: TaskSocket,
  node: NodeIdentity,
  { store, clock }: SocketDeps,
): Promise<void> {
  const { organizationId, collaborationId } = node;
  const from = new Date(clock.now().getTime() - REPEAT_KILLS_MS);
  const pending = await listAll((page) =>
    store.runs.list(
      {
        organizationId,
        collaborationIds: [collaborationId],
        isKillPending: true,
        finished: { from },
      },
      page,
    ),
  );
  // An empty list means everything to a Python node.
  if (pending.length > 0) socket.emit('kill_containers', killOf(collaborationId, pending));
}

/**
 * Half of the memory of a quiet socket is its first request. The header with the token stays: it is read again when rooms
 * change (https://socket.io/docs/v4/memory-usage/).
 */
function forgetRequest({ conn, handshake }: TaskSocket): void {
  const { authorization } = handshake.headers;
  handshake.headers = authorization === undefined ? {} : { authorization };
  (conn as { request?: unknown }).request = undefined;
}

/** One plain timer per socket: there are a thousand of them. */
function expireAt(socket: TaskSocket, at: Date, clock: Pick<Clock, 'now'>): void {
  let timer: NodeJS.Timeout | undefined;
  const wait = (): void => {
    const left = at.getTime() - clock.now().getTime();
    timer = startTimer(
      () => {
        if (left > MAX_TIMER_MS) return wait();
        socket.emit('expired_token');
        endAfter(socket, EXPIRED_MS);
      },
      Math.min(Math.max(left, 0), MAX_TIMER_MS),
    );
  };
  wait();
  socket.on('disconnect', () => clearTimeout(timer));
}

function endAfter(socket: TaskSocket, ms: number): void {
  const ended = new AbortController();
  socket.on('disconnect', () => ended.abort());
  const end = async (): Promise<void> => {
    await setTimeout(ms, undefined, { signal: ended.signal });
    while (!cut(socket.conn)) await setTimeout(1000, undefined, { signal: ended.signal });
  };
  // The only way out is the abort: the socket has gone.
  end().catch(() => undefined);
}
