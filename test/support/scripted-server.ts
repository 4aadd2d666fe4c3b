import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isRecord, type Unknowns } from '../../src/core/protocol/json.ts';

/** `silence`: no answer at all; `cut`: the connection ends after the request was read; `trickle`: a byte now and then, without end. */
export type ScriptedAnswer =
  | readonly [status: number, body: unknown]
  | 'silence'
  | 'cut'
  | 'trickle';

export interface ScriptedRequest {
  readonly method: string;
  /** With query. */
  readonly path: string;
  readonly token: string | undefined;
  readonly body: Unknowns;
}

const TRICKLE_EVERY_MS = 30;
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A server on loopback that answers logins with tokens, and everything else as a test says. It remembers what it was asked. */
export class ScriptedServer implements AsyncDisposable {
  readonly requests: ScriptedRequest[] = [];
  /** Answers instead of the login when it returns something. */
  answer: (request: ScriptedRequest) => ScriptedAnswer | undefined = () => undefined;
  /** How long it takes to answer, in ms. */
  delayOf: (request: ScriptedRequest) => number = () => 0;
  /** Life of an access token in seconds. */
  lifeSeconds = 3600;
  #logins = 0;
  readonly #server: Server = createServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on('data', (chunk: Uint8Array) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const parsed: unknown = text === '' ? {} : JSON.parse(text);
      const asked = {
        method: request.method ?? '',
        path: request.url ?? '',
        token: request.headers.authorization?.replace('Bearer ', ''),
        body: isRecord(parsed) ? parsed : {},
      };
      this.requests.push(asked);
      setTimeout(
        () => reply(response, this.answer(asked) ?? this.#default(asked)),
        this.delayOf(asked),
      );
    });
  });

  static async start(): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/api`;
  }

  /** The requests of this method whose path begins so. */
  asked(method: string, path: string): readonly ScriptedRequest[] {
    return this.requests.filter(
      (request) => request.method === method && request.path.startsWith(path),
    );
  }

  #default({ path }: ScriptedRequest): ScriptedAnswer {
    if (!path.startsWith('/api/token/')) return [404, { msg: 'not in the script' }];
    this.#logins += 1;
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: 7, iat: now, exp: now + this.lifeSeconds, serial: this.#logins };
    return [
      200,
      {
        access_token: `${part({ alg: 'HS256' })}.${part(claims)}.c2ln`,
        refresh_token: `refresh-${this.#logins}`,
        refresh_url: '/api/token/refresh',
      },
    ];
  }
}

function reply(response: ServerResponse, answer: ScriptedAnswer): void {
  if (answer === 'silence') return;
  if (answer === 'cut') {
    response.destroy();
    return;
  }
  if (answer === 'trickle') {
    response.writeHead(200, { 'content-type': 'application/json' });
    const timer = setInterval(() => response.write(' '), TRICKLE_EVERY_MS);
    response.once('close', () => clearInterval(timer));
    return;
  }
  const [status, body] = answer;
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
