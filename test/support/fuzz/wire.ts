import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { createEventHub } from '../../../src/server/services/events.ts';
import { attachSockets } from '../../../src/server/socket/server.ts';
import { recordingLogger, type World } from '../server-app.ts';

/** The server in memory on a real port of loopback, with its socket side; `lines` is the log of that. */
export async function listenOnLoopback(world: World) {
  const { app, store, tokens, presence, clock } = world;
  const { logger, lines } = recordingLogger();
  const events = createEventHub(logger);
  const sockets = attachSockets(app.server, {
    store,
    tokens,
    presence,
    events,
    logger,
    clock,
    ready: Promise.resolve(),
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const address = app.server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return { port: address.port, lines, close: () => sockets.close() };
}

/** Sends bytes and takes what comes until the server closes, or says nothing for `quietMs`. */
export async function exchangeBytes(
  port: number,
  bytes: Uint8Array | string,
  quietMs = 400,
): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port });
  const chunks: Buffer[] = [];
  let lastAt = Date.now();
  socket.on('data', (chunk) => {
    chunks.push(chunk);
    lastAt = Date.now();
  });
  // A server that has refused may reset what is still being sent.
  socket.on('error', () => undefined);
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  while (!socket.closed && Date.now() - lastAt < quietMs) await setTimeout(5);
  socket.destroy();
  return Buffer.concat(chunks).toString('latin1');
}

export interface RawAnswer {
  readonly status: number;
  readonly body: string;
}

/** Answers in what came back, with their bodies. */
export function rawAnswers(text: string): readonly RawAnswer[] {
  const found: RawAnswer[] = [];
  let rest = text;
  while (rest !== '') {
    const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(rest) ?? [];
    const end = rest.indexOf('\r\n\r\n');
    if (status === undefined || end < 0) return [...found, { status: 0, body: rest.slice(0, 200) }];
    const head = rest.slice(0, end);
    rest = rest.slice(end + 4);
    // What follows is no HTTP any more.
    if (status === '101') return [...found, { status: 101, body: '' }];
    if (/\r\ntransfer-encoding: chunked/i.test(head)) {
      const [chunks] = rest.split('0\r\n\r\n', 1);
      const body = (chunks ?? '').replaceAll(/^[0-9a-f]+\r\n|\r\n$/gim, '');
      found.push({ status: Number(status), body });
      rest = rest.slice((chunks ?? '').length + 5);
      continue;
    }
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
    found.push({ status: Number(status), body: rest.slice(0, length) });
    rest = rest.slice(length);
  }
  return found;
}
