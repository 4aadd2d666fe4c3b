import { createSocket } from 'node:dgram';
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
  const sentAt = new Map<string, number>();
  const times: number[] = [];
  const ended = Promise.withResolvers<void>();
  const send = (): void => {
    const probe = newProbe(request);
    sentAt.set(probe.nonce, performance.now());
    socket.send(renderMessage(probe));
  };
  socket.on('message', (bytes) => {
    const answer = parseMessage(bytes.toString('latin1'));
    const since = answer?.kind === 'reply' ? sentAt.get(answer.nonce) : undefined;
    if (answer === undefined || since === undefined) return;
    try {
      checkAnswer(answer, request);
    } catch (error) {
      ended.reject(error);
      return;
    }
    sentAt.delete(answer.nonce);
    times.push(performance.now() - since);
    if (times.length >= count) ended.resolve();
    else send();
  });
  socket.on('error', (error) => {
    ended.reject(error);
  });
  const giveUp = (): void => {
    ended.reject(
      new ProbeFailure(
        'V6_TEST_TIMEOUT',
        `${times.length} of ${count} datagrams to ${renderEndpoint(endpoint)} were answered within ${timeoutMs} ms`,
      ),
    );
  };
  const limit = setTimeout(giveUp, timeoutMs);
  let resend: NodeJS.Timeout | undefined;
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    socket.connect(endpoint.port, endpoint.ip);
    await Promise.race([once(socket, 'connect'), ended.promise]);
    send();
    resend = setInterval(send, RESEND_MS);
    await ended.promise;
    return times;
  } finally {
    clearTimeout(limit);
    clearInterval(resend);
    signal.removeEventListener('abort', giveUp);
    socket.close();
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
