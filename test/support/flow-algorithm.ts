import { existsSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AlgorithmClient } from '../../src/algorithm/client.ts';
import { type MethodContext, runAlgorithm } from '../../src/algorithm/run.ts';

/**
 * An algorithm of the tests: two TCP connections between two organizations that stay open for as long as the test wants, with a
 * numbered line every 100 ms. Of `echo` the client sends and the server answers. Of `feed` only the server sends, so no packet
 * of the client's opens the way again.
 */

/** What came over one connection. */
export interface FlowReport {
  readonly lines: number;
  /** Lines that did not follow the one before. */
  readonly lost: number;
  /** The longest time without a line, ms. */
  readonly longestGapMs: number;
  /** As the client sees it, address and port of both ends, at the beginning. */
  readonly ends: string;
  /** Undefined: it was open at the end. */
  readonly error: string | null;
}

const EVERY_MS = 100;
/** The test makes this file when it has seen enough. */
const STOP_FILE = '/mnt/tmp/go';

class Flow {
  readonly #socket: Socket;
  readonly #startedAt = performance.now();
  #last = this.#startedAt;
  #lines = 0;
  #lost = 0;
  #longest = 0;
  #error: string | null = null;
  readonly #ends: string;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    this.#ends = `${localAddress}:${localPort} ${remoteAddress}:${remotePort}`;
    socket.on('error', ({ message }) => {
      this.#error ??= message;
    });
    socket.on('close', () => {
      this.#error ??= 'closed';
    });
    createInterface({ input: socket }).on('line', (line) => this.#line(line));
  }

  #line(line: string): void {
    const now = performance.now();
    this.#longest = Math.max(this.#longest, now - this.#last);
    this.#last = now;
    if (Number(line) !== this.#lines) this.#lost += 1;
    this.#lines += 1;
  }

  report(): FlowReport {
    return {
      lines: this.#lines,
      lost: this.#lost,
      longestGapMs: Math.round(Math.max(this.#longest, performance.now() - this.#last)),
      ends: this.#ends,
      error: this.#error,
    };
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function send(socket: Socket): Promise<void> {
  for (let number = 0; !socket.destroyed && !existsSync(STOP_FILE); number += 1) {
    socket.write(`${number}\n`);
    await sleep(EVERY_MS);
  }
}

/** Answers the lines of `echo` and feeds `feed`: the first line of a connection says which it is. */
async function serve(): Promise<{ connections: number }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.once('data', (hello) => {
      if (hello.toString() === 'feed\n') {
        void send(socket);
        return;
      }
      socket.write('ready\n');
      socket.pipe(socket);
    });
  }).listen(8888);
  while (!existsSync(STOP_FILE)) await sleep(EVERY_MS);
  server.close();
  // The client closes first; a connection that died on the way would never tell.
  await sleep(2000);
  for (const socket of sockets) socket.destroy();
  return { connections: sockets.length };
}

async function serverAddress(client: AlgorithmClient, organization: number, signal: AbortSignal) {
  for (;;) {
    const addresses = await client.vpn.getAddresses({ label: 'echo-tcp' }, signal);
    const found = addresses.find(({ organization_id: id }) => id === organization);
    if (typeof found?.ip === 'string') return { host: found.ip, port: found.port };
    await sleep(200, undefined, { signal });
  }
}

async function open(
  address: { readonly host: string; readonly port: number },
  kind: 'echo' | 'feed',
): Promise<Socket> {
  for (;;) {
    const socket = connect(address);
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (!isOpen) {
      await sleep(200);
      continue;
    }
    socket.write(`${kind}\n`);
    if (kind === 'echo') await new Promise((resolve) => socket.once('data', resolve));
    return socket;
  }
}

async function flow({ client, kwargs, signal }: MethodContext): Promise<unknown> {
  const server = kwargs.server as number;
  if (client.identity.organization === server) return serve();
  const address = await serverAddress(client, server, signal);
  const [echo, feed] = [await open(address, 'echo'), await open(address, 'feed')];
  const flows = { echo: new Flow(echo), feed: new Flow(feed) };
  process.stdout.write('flowing\n');
  await send(echo);
  const reports = { echo: flows.echo.report(), feed: flows.feed.report() };
  flows.echo.close();
  flows.feed.close();
  return reports;
}

await runAlgorithm({ flow }, process.env, new AbortController().signal);
