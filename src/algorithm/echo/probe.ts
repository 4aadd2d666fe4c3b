import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { ProbeFailure } from './failure.ts';
import { type Endpoint, Link, openSocket, renderEndpoint } from './link.ts';
import type { EchoStation } from './station.ts';
import { type EchoMessage, newNonce, parseMessage, renderMessage, type Self } from './wire.ts';

/** One measurement: whom, where, how often, how long at most. */
export interface ProbeRequest {
  readonly self: Self;
  readonly peer: number;
  readonly endpoint: Endpoint;
  /** Round trips to measure, 1 or more. */
  readonly count: number;
  /** For the whole attempt, in ms. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Connects and measures; the connection stays open and is handed to the station. Rejects with an errno or ProbeFailure. */
export async function probeTcp(
  request: ProbeRequest,
  station: Pick<EchoStation, 'receive' | 'remember'>,
): Promise<{ readonly times: readonly number[]; readonly link: Link }> {
  const { endpoint, timeoutMs, signal, count, peer } = request;
  const deadline = performance.now() + timeoutMs;
  const link = new Link(await openSocket(endpoint, timeoutMs, signal), station.receive);
  const times: number[] = [];
  try {
    while (times.length < count) {
      const left = Math.max(1, Math.round(deadline - performance.now()));
      times.push(await probeLink(link, request, left));
    }
  } catch (error) {
    link.close();
    throw error;
  }
  station.remember(peer, link);
  return { times, link };
}

/** One round trip on an open connection, in ms. */
export async function probeLink(
  link: Link,
  request: Pick<ProbeRequest, 'self' | 'peer'>,
  timeoutMs: number,
): Promise<number> {
  const startedAt = performance.now();
  const answer = await link.request(newProbe(request), timeoutMs);
  const elapsedMs = performance.now() - startedAt;
  checkAnswer(answer, request);
  return elapsedMs;
}

const RESEND_MS = 250;

/** Measures over datagrams; a lost one is sent again, and each counts from its own sending. */
export async function probeUdp(request: ProbeRequest): Promise<readonly number[]> {
  const { endpoint, timeoutMs, signal, count } = request;
  const socket = createSocket('udp4');
  const ended = Promise.withResolvers<void>();
  const volley = new Volley(request, socket, ended);
  const giveUp = (): void => {
    const answered = `${volley.times.length} of ${count} datagrams to ${renderEndpoint(endpoint)}`;
    ended.reject(
      new ProbeFailure('V6_TEST_TIMEOUT', `${answered} were answered within ${timeoutMs} ms`),
    );
  };
  const limit = setTimeout(giveUp, timeoutMs);
  let resend: NodeJS.Timeout | undefined;
  signal.addEventListener('abort', giveUp, { once: true });
  socket.on('error', ended.reject);
  try {
    socket.connect(endpoint.port, endpoint.ip);
    await Promise.race([once(socket, 'connect'), ended.promise]);
    volley.send();
    resend = setInterval(() => {
      volley.send();
    }, RESEND_MS);
    await ended.promise;
    return volley.times;
  } finally {
    clearTimeout(limit);
    clearInterval(resend);
    signal.removeEventListener('abort', giveUp);
    socket.close();
  }
}

/** Datagrams under way to one peer, and the times of those that came back. */
class Volley {
  readonly times: number[] = [];
  readonly #request: ProbeRequest;
  readonly #socket: UdpSocket;
  readonly #sentAt = new Map<string, number>();

  constructor(request: ProbeRequest, socket: UdpSocket, ended: PromiseWithResolvers<void>) {
    this.#request = request;
    this.#socket = socket;
    socket.on('message', (bytes) => {
      try {
        this.#take(parseMessage(bytes.toString('latin1')));
        if (this.times.length >= request.count) ended.resolve();
      } catch (error) {
        ended.reject(error);
      }
    });
  }

  send(): void {
    const probe = newProbe(this.#request);
    this.#sentAt.set(probe.nonce, performance.now());
    this.#socket.send(renderMessage(probe));
  }

  #take(answer: EchoMessage | undefined): void {
    const since = answer?.kind === 'reply' ? this.#sentAt.get(answer.nonce) : undefined;
    if (answer === undefined || since === undefined) return;
    checkAnswer(answer, this.#request);
    this.#sentAt.delete(answer.nonce);
    this.times.push(performance.now() - since);
    if (this.times.length < this.#request.count) this.send();
  }
}

function newProbe({ self, peer }: Pick<ProbeRequest, 'self' | 'peer'>): EchoMessage {
  const { task, organization } = self;
  return { kind: 'probe', task, from: organization, to: peer, nonce: newNonce() };
}

function checkAnswer(
  answer: EchoMessage,
  { self, peer }: Pick<ProbeRequest, 'self' | 'peer'>,
): void {
  if (answer.from === peer && answer.task === self.task) return;
  throw new ProbeFailure(
    'V6_TEST_WRONG_PEER',
    `organization ${answer.from} in task ${answer.task} answered instead of organization ${peer}`,
  );
}
