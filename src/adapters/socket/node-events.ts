import { io, type Socket } from 'socket.io-client';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import {
  type AlgorithmLog,
  type ClientToServer,
  type ServerToClient,
  SOCKET_NAMESPACE,
} from '../../core/protocol/events.ts';
import type { CoordinatorEvents, EventHandlers } from '../../node/interfaces/coordinator.ts';
import type { SessionToken } from '../../node/interfaces/session-token.ts';
import {
  parseAddressChange,
  parseKill,
  parseNewTask,
  parseStatusChange,
} from './node-event-parsers.ts';

type NodeSocket = Socket<ServerToClient, ClientToServer>;

export interface NodeEventsOptions {
  /** `http://host:port`: the socket does not lie below the api path. */
  readonly origin: string;
  readonly token: SessionToken;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the node tells of itself after each connect (`node_info_update`); nothing when left out. */
  readonly info?: Readonly<Record<string, unknown>>;
}

/** The server takes a node that was silent for 65 s for offline (vantage6 4.14 server, websockets.py). */
const PING_EVERY_MS = 60_000;
const FIRST_PING_MS = 5000;
const CONNECT_LIMIT_MS = 20_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/** The node's side of socket.io: one connection at a time, with a fresh token for each, for ever until told to stop. */
export class NodeEvents implements CoordinatorEvents {
  readonly #options: NodeEventsOptions;
  #socket: NodeSocket | undefined;
  #connection = 0;

  constructor(options: NodeEventsOptions) {
    this.#options = options;
  }

  get connected(): boolean {
    return this.#socket?.connected ?? false;
  }

  get connection(): number {
    return this.#connection;
  }

  listen(handlers: EventHandlers, signal: AbortSignal): void {
    void this.#stayConnected(handlers, signal);
  }

  /** Sent when connected; otherwise dropped, because it is only a hint to others. */
  emitStatus(change: Parameters<ClientToServer['algorithm_status_change']>[0]): void {
    if (this.#socket?.connected) this.#socket.emit('algorithm_status_change', change);
  }

  emitLog(line: AlgorithmLog): void {
    if (this.#socket?.connected) this.#socket.emit('algorithm_log', line);
  }

  async #stayConnected(handlers: EventHandlers, signal: AbortSignal): Promise<void> {
    const { clock, logger, token } = this.#options;
    let pauseMs = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      try {
        const current = await token.current(signal);
        if (signal.aborted) return;
        const wasConnected = await this.#connectOnce(current, handlers, signal);
        if (wasConnected) pauseMs = FIRST_PAUSE_MS;
      } catch (error) {
        if (signal.aborted) return;
        logger.warn('The socket to the coordination server could not be opened', { error });
      }
      try {
        await clock.sleep(pauseMs, signal);
      } catch {
        return;
      }
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }

  /** Resolves when the connection has ended, with whether there was one. */
  #connectOnce(token: string, handlers: EventHandlers, signal: AbortSignal): Promise<boolean> {
    const socket: NodeSocket = io(`${this.#options.origin}${SOCKET_NAMESPACE}`, {
      extraHeaders: { authorization: `Bearer ${token}` },
      transports: ['polling', 'websocket'],
      forceNew: true,
      reconnection: false,
      timeout: CONNECT_LIMIT_MS,
    });
    this.#socket = socket;
    return new Promise((resolve) => {
      let wasConnected = false;
      const timers = new AbortController();
      const end = (): void => {
        timers.abort(new Error('the socket is closed'));
        signal.removeEventListener('abort', end);
        socket.removeAllListeners();
        socket.disconnect();
        if (this.#socket === socket) this.#socket = undefined;
        resolve(wasConnected);
      };
      signal.addEventListener('abort', end, { once: true });
      const refused = (): void => {
        this.#options.token.discard();
        end();
      };
      socket.on('connect', () => {
        wasConnected = true;
        this.#connection += 1;
        this.#options.logger.info('Connected to the coordination server');
        void this.#keepPinging(socket, timers.signal);
        handlers.onSync();
      });
      socket.on('connect_error', (error) => {
        this.#options.logger.warn('The socket to the coordination server could not be opened', {
          error,
        });
        end();
      });
      socket.on('disconnect', (reason) => {
        this.#options.logger.warn('The socket to the coordination server was closed', { reason });
        end();
      });
      socket.on('expired_token', refused);
      socket.on('invalid_token', refused);
      this.#subscribe(socket, handlers);
      if (signal.aborted) end();
    });
  }

  #subscribe(socket: NodeSocket, handlers: EventHandlers): void {
    const { logger, info } = this.#options;
    socket.on('sync', () => {
      // Only now does the server know who we are; it forgets a node's information when the node goes offline.
      if (info !== undefined) socket.emit('node_info_update', info);
      handlers.onSync();
    });
    socket.on('new_task', (payload) => {
      const task = parseNewTask(payload);
      if (task === undefined) logger.warn('An event new_task could not be read');
      else handlers.onNewTask(task);
    });
    socket.on('kill_containers', (payload) => {
      const kill = parseKill(payload);
      if (kill === undefined) logger.warn('An event kill_containers could not be read');
      else handlers.onKill(kill);
    });
    // Hints that cost nothing when they are lost.
    socket.on('algorithm_status_change', (payload) => {
      const change = parseStatusChange(payload);
      if (change !== undefined) handlers.onStatus?.(change);
    });
    socket.on('address_change', (payload) => {
      const change = parseAddressChange(payload);
      if (change !== undefined) handlers.onAddressChange?.(change);
    });
  }

  async #keepPinging(socket: NodeSocket, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.clock.sleep(FIRST_PING_MS, signal);
      while (!signal.aborted) {
        socket.emit('ping');
        await this.#options.clock.sleep(PING_EVERY_MS, signal);
      }
    } catch {
      // The socket was closed: the next one has its own pings.
    }
  }
}
