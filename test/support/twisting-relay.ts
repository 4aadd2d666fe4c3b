import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/** Gives back another answer than the server's; undefined leaves it as it is. */
export type Twist = (target: string, answer: unknown) => unknown;

/** An HTTP relay to a server on loopback that changes its JSON answers on the way: a server that lies. */
export class TwistingRelay {
  /** Port on loopback of the honest server. */
  target = 0;
  twist: Twist = () => undefined;
  /** Answers that were changed since the twist was set by `lie`. */
  lies = 0;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((incoming, answer) => this.#relay(incoming, answer));
    // Without websockets: clients stay with polling, which goes through here as well.
    this.#server.on('upgrade', (_request, socket) => socket.destroy());
  }

  static async start(): Promise<TwistingRelay> {
    const relay = new TwistingRelay();
    await new Promise<void>((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on answers are changed so. */
  lie(twist: Twist): void {
    this.lies = 0;
    this.twist = twist;
  }

  /** From now on answers are the server's own. */
  beHonest(): void {
    this.twist = () => undefined;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #relay(incoming: IncomingMessage, answer: ServerResponse): void {
    // Asked for without: what is compressed cannot be read here.
    const { method, url = '/' } = incoming;
    const { 'accept-encoding': _encoding, ...headers } = incoming.headers;
    const options = { host: '127.0.0.1', port: this.target, method, path: url, headers };
    const onward = request(options, (got) => void this.#passOn(url, got, answer));
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    incoming.pipe(onward);
  }

  async #passOn(url: string, got: IncomingMessage, answer: ServerResponse): Promise<void> {
    const chunks: Uint8Array[] = [];
    try {
      for await (const chunk of got) chunks.push(chunk as Uint8Array);
    } catch {
      answer.destroy();
      return;
    }
    const body = Buffer.concat(chunks);
    const twisted = got.statusCode === 200 ? this.#twisted(url, body) : undefined;
    const { 'content-length': _length, 'transfer-encoding': _coding, ...headers } = got.headers;
    answer.writeHead(got.statusCode ?? 502, headers);
    answer.end(twisted ?? body);
  }

  #twisted(url: string, body: Buffer): string | undefined {
    let parsed: unknown;
    try {
      parsed = JSON.parse(body.toString());
    } catch {
      return undefined;
    }
    const changed = this.twist(url, parsed);
    if (changed === undefined) return undefined;
    this.lies += 1;
    return JSON.stringify(changed);
  }
}
