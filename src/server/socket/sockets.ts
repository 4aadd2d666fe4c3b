import type { Namespace, Socket } from 'socket.io';
import type { Clock } from '../../core/clock.ts';
import type { TransportSettings } from '../../core/config/server-transport.ts';
import type { Logger } from '../../core/logger.ts';
import type { ClientToServer, ServerToClient } from '../../core/protocol/events.ts';
import type { Authenticated } from '../auth/identity.ts';
import type { Tokens } from '../auth/tokens.ts';
import type { Metrics } from '../interfaces/metrics.ts';
import type { Store } from '../interfaces/store.ts';
import type { EventHub } from '../services/events.ts';
import type { Presence } from '../services/presence.ts';

/** What the socket side of the server works with. */
export interface SocketDeps {
  readonly store: Store;
  readonly tokens: Tokens;
  readonly presence: Presence;
  readonly events: EventHub;
  readonly logger: Logger;
  readonly clock: Pick<Clock, 'now'>;
  /** Undefined: nobody asks for figures. */
  readonly metrics?: Metrics | undefined;
  /** Origins of pages that may connect, and whether plain http may. Default: all. */
  readonly transport?: TransportSettings;
  /** Nobody is let in before. */
  readonly ready: Promise<void>;
}

/** What a socket carries from its handshake on. */
export interface SocketData {
  /** Undefined: the token was refused, and the socket is about to be closed. */
  authenticated: Authenticated | undefined;
  /** What to tell it before. */
  refusedWith?: 'expired_token' | 'invalid_token';
}

/** Namespace `/tasks`. */
export type Tasks = Namespace<ClientToServer, ServerToClient, Record<string, never>, SocketData>;
export type TaskSocket = Socket<ClientToServer, ServerToClient, Record<string, never>, SocketData>;
