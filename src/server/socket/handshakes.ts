import type { Server as HttpServer } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Server } from 'socket.io';
import { answerRaw } from '../http/wire-errors.ts';

/** The part of engine.io's server that has the websockets. */
interface EngineInside {
  readonly ws?: {
    on(event: 'wsClientError', handle: (error: Error, socket: Duplex) => void): unknown;
  };
}

/** Broken handshakes of websockets get JSON as everything else; `ws` itself would answer with text. Call it before listening. */
export function refuseHandshakes(http: HttpServer, engine: Server['engine']): void {
  // Engine.io makes its websocket server anew whenever the http server begins to listen.
  http.on('listening', () => {
    (engine as unknown as EngineInside).ws?.on('wsClientError', ({ message }, socket) => {
      answerRaw(socket, '400 Bad Request', message);
    });
  });
}
