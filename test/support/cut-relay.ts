import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An HTTP relay to a server on loopback that a test can cut: from a matching request on, nobody gets an answer. */
export class CutRelay {
  readonly seen: string[] = [];
  readonly #server: Server;
  #cutAt: RegExp | undefined;
  #isCut = false;

  private constructor(target: number) {
    this.#server = createServer((incoming, answer) => {
      const line = `${incoming.method} ${incoming.url}`;
      this.seen.push(line);
      if (this.#cutAt?.test(line)) this.#isCut = true;
      if (this.#isCut) {
        incoming.socket.destroy();
        return;
      }
      const { method, url: path, headers } = incoming;
      const onward = request({ host: '127.0.0.1', port: target, method, path, headers }, (got) => {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
      });
      onward.on('error', () => answer.destroy());
      answer.on('close', () => onward.destroy());
      incoming.pipe(onward);
    });
    // Without websockets: clients stay with polling, which goes through here as well.
    this.#server.on('upgrade', (_request, socket) => socket.destroy());
  }

  static async start(target: number): Promise<CutRelay> {
    const relay = new CutRelay(target);
    await new Promise<void>((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  /** Cuts at the next request whose `METHOD /path` matches. */
  cutAt(pattern: RegExp): void {
    this.#cutAt = pattern;
  }

  restore(): void {
    this.#cutAt = undefined;
    this.#isCut = false;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
