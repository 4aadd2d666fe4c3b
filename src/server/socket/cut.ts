import type { Socket as TcpSocket } from 'node:net';
import type { Socket } from 'socket.io';

/** What the two transports of engine.io 6.6 hold: the open request of a poll, or the websocket. */
interface TransportInside {
  readonly name: string;
  readonly req?: { readonly socket: TcpSocket } | null;
  readonly socket?: { terminate(): void };
}

/**
 * Cuts the connection below a socket, without a word. After an orderly end (a close packet) python-socketio never connects
 * again, and the node would be offline for good; after a broken connection it comes back by itself.
 * A client between two polls has nothing to cut: false, try again.
 */
export function cut(connection: Socket['conn']): boolean {
  const transport = connection.transport as unknown as TransportInside;
  if (transport.name === 'websocket') {
    transport.socket?.terminate();
    return true;
  }
  transport.req?.socket.destroy();
  return transport.req !== undefined && transport.req !== null;
}
