import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Statuses of what fails before there is a request (Node, `http.Server` event `clientError`). */
const STATUS: Readonly<Record<string, readonly [status: string, msg: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers are too large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['413 Payload Too Large', 'A chunk has too many extensions'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not come in time'],
};
const OTHER = ['400 Bad Request', 'This is not a request of HTTP/1.1'] as const;
const TYPE = { 'content-type': 'application/json; charset=utf-8' } as const;

/** Answers what is no HTTP with JSON as everything else, and ends the connection. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const [status, msg] = STATUS[error.code ?? ''] ?? OTHER;
  answerRaw(socket, status, msg);
}

/** An answer without the help of a server, and the end of the connection. */
export function answerRaw(socket: Duplex, status: string, msg: string): void {
  // Whoever has gone meanwhile misses nothing.
  socket.once('error', () => socket.destroy());
  const body = bodyOf(msg);
  const headers = [
    `HTTP/1.1 ${status}`,
    `content-type: ${TYPE['content-type']}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${headers.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

/** `Expect` other than `100-continue` is answered by Node itself, without a body. */
export function answerExpectations(server: Server): void {
  server.on('checkExpectation', (_request, response: ServerResponse) => {
    const body = bodyOf('The server expects nothing but 100-continue');
    response.writeHead(417, { ...TYPE, 'content-length': Buffer.byteLength(body) });
    response.end(body);
  });
}

const bodyOf = (msg: string): string => JSON.stringify({ msg, code: 'V6_REQUEST_INVALID' });
