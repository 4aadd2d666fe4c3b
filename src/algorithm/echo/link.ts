import { connect, type Socket } from 'node:net';
import { ProbeFailure } from './failure.ts';
import { type EchoMessage, MAX_MESSAGE_BYTES, parseMessage, renderMessage } from './wire.ts';

/** An address in the VPN. */
export interface Endpoint {
  readonly ip: string;
  readonly port: number;
}

export const renderEndpoint = ({ ip, port }: Endpoint): string => `${ip}:${port}`;

interface Pending {
  resolve(answer: EchoMessage): void;
  reject(error: Error): void;
}

/** One TCP connection between two echo containers, whoever opened it: lines in, lines out, answers matched by nonce. */
export class Link {
  readonly #socket: Socket;
  readonly #pending = new Map<string, Pending>();
  #buffer = '';
  #failure: Error | undefined;

  /** `onMessage` gets every message of the other end; answers as well. */
  constructor(socket: Socket, onMessage: (message: EchoMessage, link: Link) => void) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      for (const line of this.#lines(chunk)) {
        const message = parseMessage(line);
        if (message === undefined) continue;
        onMessage(message, this);
        if (message.kind === 'reply' || message.kind === 'ack')
          this.#pending.get(message.nonce)?.resolve(message);
      }
    });
    socket.on('error', (error) => {
      this.#end(error);
    });
    socket.on('close', () => {
      this.#end(new ProbeFailure('V6_TEST_CLOSED', 'the other end closed the connection'));
    });
  }

  get isOpen(): boolean {
    return this.#failure === undefined && this.#socket.writable;
  }

  send(message: EchoMessage): void {
    if (this.isOpen) this.#socket.write(`${renderMessage(message)}\n`);
  }

  /** Sends and waits for the answer with the same nonce. Rejects with the connection's error, or after `timeoutMs`. */
  async request(message: EchoMessage, timeoutMs: number): Promise<EchoMessage> {
    if (this.#failure !== undefined) throw this.#failure;
    const answer = Promise.withResolvers<EchoMessage>();
    this.#pending.set(message.nonce, answer);
    const timer = setTimeout(() => {
      answer.reject(
        new ProbeFailure('V6_TEST_TIMEOUT', `connected, and no answer within ${timeoutMs} ms`),
      );
    }, timeoutMs);
    this.send(message);
    try {
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(message.nonce);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  *#lines(chunk: string): Generator<string> {
    this.#buffer += chunk;
    for (let end = this.#buffer.indexOf('\n'); end >= 0; end = this.#buffer.indexOf('\n')) {
      yield this.#buffer.slice(0, end);
      this.#buffer = this.#buffer.slice(end + 1);
    }
    if (this.#buffer.length > MAX_MESSAGE_BYTES) this.#socket.destroy();
  }

  #end(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#pending.values()) waiting.reject(this.#failure);
    this.#pending.clear();
  }
}

/** Connects, waiting at most `timeoutMs`. Rejects with the errno, or V6_TEST_TIMEOUT. */
export async function openSocket(
  endpoint: Endpoint,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Socket> {
  signal.throwIfAborted();
  const socket = connect({ host: endpoint.ip, port: endpoint.port });
  const opened = Promise.withResolvers<void>();
  const fail = (error: Error): void => {
    opened.reject(error);
  };
  const timer = setTimeout(() => {
    fail(
      new ProbeFailure(
        'V6_TEST_TIMEOUT',
        `no connection to ${renderEndpoint(endpoint)} within ${timeoutMs} ms`,
      ),
    );
  }, timeoutMs);
  const onAbort = (): void => {
    fail(new ProbeFailure('V6_TEST_TIMEOUT', `no connection to ${renderEndpoint(endpoint)}`));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  socket.once('connect', () => {
    opened.resolve();
  });
  socket.once('error', fail);
  try {
    await opened.promise;
    return socket;
  } catch (error) {
    // A late error of a socket that nobody waits for must not end the process.
    socket.on('error', () => {});
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    socket.removeListener('error', fail);
  }
}
