import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

/** One recorded exchange, as test/fixtures/eduvpn-v3 and eduvpn-v2 hold them. */
export interface RecordedExchange {
  readonly step: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string | null;
  };
  readonly response: {
    readonly status: number;
    /** Several of one name (Set-Cookie) are separated by line ends. */
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
  };
}

/** A request that the replay received. */
export interface ReceivedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface PortalReplay {
  readonly url: string;
  readonly requests: readonly ReceivedRequest[];
  /** Requests for which nothing was recorded at this point; they were answered 599. */
  readonly unexpected: readonly string[];
  /** Value that stands for a placeholder in this run, for instance `<STATE>`. */
  valueOf(placeholder: string): string | undefined;
  /** A recorded text with this run's host and values in it. */
  fill(text: string): string;
  close(): Promise<void>;
}

/** Which portal was recorded: `v3` is 3.4.1, `v2` is 2.4.4. */
export type Recording = 'v3' | 'v2';

const HOSTS = ['https://vpn.example.test', 'https://legacy.example.test'];

/** All exchanges of a recorded file, as they are. */
export function readExchanges(file: string, recording: Recording): readonly RecordedExchange[] {
  const folder = path.join(import.meta.dirname, `../fixtures/eduvpn-${recording}`);
  const text = readFileSync(path.join(folder, `${file}.json`), 'utf8');
  const joinLists = (_key: string, value: unknown): unknown =>
    Array.isArray(value) && value.every((one) => typeof one === 'string')
      ? value.join('\n')
      : value;
  return JSON.parse(text, joinLists) as RecordedExchange[];
}

/** The exchange number `index` of a recorded file. */
export function recorded(
  file: string,
  index: number,
  recording: Recording = 'v3',
): RecordedExchange {
  const exchange = readExchanges(file, recording)[index];
  if (exchange === undefined) throw new Error(`${file} has no exchange ${index}`);
  return withoutNumbers(exchange);
}

/** The exchange of a recorded file whose step begins with `step`. */
export function recordedStep(
  file: string,
  step: string,
  recording: Recording = 'v3',
): RecordedExchange {
  const exchanges = readExchanges(file, recording);
  const index = exchanges.findIndex((exchange) => exchange.step.startsWith(step));
  return recorded(file, index, recording);
}

// Exchanges of several files make one run, so the numbers, which count within a file, go. Session ids do change in a run.
function withoutNumbers(exchange: RecordedExchange): RecordedExchange {
  const text = JSON.stringify(exchange)
    .replace(/<((?!SESSION_ID)[A-Z_]+)_\d+>/g, '<$1>')
    .replaceAll(/state=some_st(?:ate|ring)/g, 'state=<STATE>')
    .replaceAll(/state%3Dsome_st(?:ate|ring)/g, 'state%3D<STATE>');
  return JSON.parse(text) as RecordedExchange;
}

/**
 * Answers on loopback with recorded exchanges, each once and in their order. The recorded host becomes our own, over plain http.
 * `values` stand for placeholders that the caller knows (`<PORTAL_PASSWORD>`); what the client chooses is read from its authorize
 * request, the rest is made up. Cookies keep their `Secure`: the client must cope with it on loopback or fail.
 */
export async function startPortalReplay(
  exchanges: readonly RecordedExchange[],
  values: Readonly<Record<string, string>> = {},
): Promise<PortalReplay> {
  const known = new Map(Object.entries(values));
  const requests: ReceivedRequest[] = [];
  const unexpected: string[] = [];
  let origin = '';
  const fill = (text: string): string => fillIn(text, origin, known);
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const received = await receive(request, origin);
    requests.push(received);
    learn(received, known);
    const next = exchanges[requests.length - 1];
    const wanted = next === undefined ? undefined : new URL(next.request.path, origin).pathname;
    if (next?.request.method !== received.method || wanted !== received.url.pathname) {
      unexpected.push(`${received.method} ${received.url.pathname}`);
      response.writeHead(599).end();
      return;
    }
    const { status, headers, body } = next.response;
    response.writeHead(status, headersOf(headers, fill)).end(fill(body));
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: origin,
    requests,
    unexpected,
    valueOf: (placeholder) => known.get(placeholder),
    fill,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function receive(request: IncomingMessage, origin: string): Promise<ReceivedRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return {
    method: request.method ?? '',
    url: new URL(request.url ?? '/', origin),
    headers: request.headers as Record<string, string>,
    body: Buffer.concat(chunks).toString('utf8'),
  };
}

// What the client chooses: from then on the recorded placeholder stands for it.
function learn({ url, body }: ReceivedRequest, known: Map<string, string>): void {
  const form = new URLSearchParams(body);
  const chosen = [
    ['<STATE>', url.searchParams.get('state')],
    ['<CODE_CHALLENGE>', url.searchParams.get('code_challenge')],
    ['<CODE_VERIFIER>', form.get('code_verifier')],
  ] as const;
  for (const [placeholder, value] of chosen)
    if (value !== null && !known.has(placeholder)) known.set(placeholder, value);
}

function fillIn(text: string, origin: string, known: Map<string, string>): string {
  return HOSTS.reduce(
    (filled, host) =>
      filled
        .replaceAll(host, origin)
        .replaceAll(encodeURIComponent(host), encodeURIComponent(origin)),
    text,
  ).replace(/<[A-Z][A-Z0-9_]*>/g, (placeholder) => {
    const value =
      known.get(placeholder) ?? `${placeholder.slice(1, -1)}.${randomBytes(12).toString('hex')}`;
    known.set(placeholder, value);
    return value;
  });
}

// Framing and clock are the transport's own.
const TRANSPORT = ['transfer-encoding', 'connection', 'date', 'server', 'content-length'];

function headersOf(
  headers: RecordedExchange['response']['headers'],
  fill: (text: string) => string,
): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      TRANSPORT.includes(name.toLowerCase())
        ? []
        : [[name, value.includes('\n') ? fill(value).split('\n') : fill(value)]],
    ),
  );
}
