import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Statuses of what fails before there is a request (Node, `http.Server` event `clientError`). */
const STATUS: Readonly<Record<string, readonly [status: string, msg: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers are too large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['413 Payload Too Large', 'A chunk has too many extensions'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not come in time'],
};
const OTHER = ['400 Bad Request', 'This is not a request of HTTP/1.1'] as const;

/** Answers what is no HTTP with JSON as everything else, and ends the connection. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const [status, msg] = STATUS[error.code ?? ''] ?? OTHER;
  const body = JSON.stringify({ msg, code: 'V6_REQUEST_INVALID' });
  if (socket.writable) {
    const headers = [
      `HTTP/1.1 ${status}`,
      'content-type: application/json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
    ];
    socket.write(`${headers.join('\r\n')}\r\n\r\n${body}`);
  }
  socket.destroySoon();
}

/** `Expect` other than `100-continue` is answered by Node itself, without a body. */
export function answerExpectations(server: Server): void {
  server.on('checkExpectation', (_request, response: ServerResponse) => {
    response.writeHead(417, { 'content-type': 'application/json; charset=utf-8' });
    response.end(JSON.stringify({ msg: 'Nothing to expect here', code: 'V6_REQUEST_INVALID' }));
  });
}
