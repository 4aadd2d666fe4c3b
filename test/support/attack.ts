import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { connectEngine } from '../../src/adapters/docker/engine.ts';

/**
 * One line of an attack table: what is tried, the attempt, and its positive control, which is the same probe where it is
 * allowed. Both say whether it got through. An attempt proves nothing while its control fails.
 */
export type Attempt = readonly [
  what: string,
  attempt: () => Promise<boolean>,
  control: () => Promise<boolean>,
];

/** Times that a control is tried: where many probes run side by side a datagram is lost now and then, and an answer is late. */
const CONTROL_TRIES = 6;
/** Before each further try, longer by this each time, ms. */
const CONTROL_PAUSE_MS = 300;

/** A test for each line; they run side by side, so that time-outs add up less. */
export function refuses(attempts: readonly Attempt[]): void {
  it.concurrent.each(attempts)('refuses %s', async (_what, attempt, control) => {
    let gotThrough = false;
    for (let tries = 0; tries < CONTROL_TRIES && !gotThrough; tries += 1) {
      await sleep(tries * CONTROL_PAUSE_MS);
      gotThrough = await control();
    }
    expect(gotThrough, 'the control gets through').toBe(true);
    expect(await attempt(), 'the attempt gets through').toBe(false);
  });
}

/** Something that answers with what it is told, and remembers it. */
export interface Witness {
  heard(word: string): boolean | Promise<boolean>;
}

const engine = connectEngine();

/** What a shell line prints, run in a container as its user and with its capabilities. */
export async function shell(container: string, line: string): Promise<string> {
  const { containers } = await engine;
  const { output } = await containers.exec(container, ['/bin/sh', '-c', line]);
  return output;
}

const newWord = (): string => `w${randomBytes(6).toString('hex')}`;

/**
 * Says a word by a line of socat and looks for it in the answer, and at the witness: one way through is enough for an
 * attacker.
 */
async function say(container: string, address: string, witness?: Witness): Promise<boolean> {
  const word = newWord();
  // Twice, because socat misses a datagram that comes while it makes the process for another one.
  const words = `{ printf ${word}; sleep 0.3; printf ${word}; }`;
  const line = `${words} | socat -t 1.5 -T 3 - '${address}' 2>/dev/null`;
  if ((await shell(container, line)).includes(word)) return true;
  return witness !== undefined && (await witness.heard(word));
}

/** Whether a word over TCP gets to `address:port` out of a container; `options` are socat's. */
export const tcp = (
  container: string,
  to: string,
  witness?: Witness,
  options = '',
): Promise<boolean> => say(container, `TCP:${to},connect-timeout=2${options}`, witness);

/** The same with datagrams. */
export const udp = (
  container: string,
  to: string,
  witness?: Witness,
  options = '',
): Promise<boolean> => say(container, `UDP:${to}${options}`, witness);

/** Whether a shell line ends with exit status 0. */
export async function can(container: string, line: string): Promise<boolean> {
  const { containers } = await engine;
  return (await containers.exec(container, ['/bin/sh', '-c', `{ ${line}; } 2>&1`])).exitCode === 0;
}

/** IPv4 addresses of a device of this host; also of one without a carrier, which Node does not list. */
export async function addressesOf(device: string): Promise<readonly string[]> {
  const { stdout } = await execa('ip', ['-o', '-4', 'addr', 'show', 'dev', device], {
    reject: false,
  });
  return [...stdout.matchAll(/ inet ([\d.]+)/g)].map(([, address = '']) => address);
}

/** Shell text: TCP and UDP services that answer with what they are told and keep it in /tmp/heard. */
export const witnessProgram = (...ports: readonly number[]): string =>
  ports
    .map(
      (port) =>
        `socat TCP-LISTEN:${port},fork,reuseaddr SYSTEM:'tee -a /tmp/heard' & socat UDP-RECVFROM:${port},fork SYSTEM:'tee -a /tmp/heard' &`,
    )
    .join(' ');

/** A container that runs `witnessProgram`. */
export const witnessIn = (container: string): Witness => ({
  heard: async (word) => (await shell(container, 'cat /tmp/heard 2>/dev/null')).includes(word),
});

/** A service of this host, on all of its addresses, TCP and UDP on one port. */
export class HostWitness implements Witness {
  readonly port: number;
  readonly #tcp: Server;
  readonly #udp: Socket;
  #text = '';

  private constructor(server: Server, socket: Socket) {
    this.#tcp = server;
    this.#udp = socket;
    this.port = socket.address().port;
    server.on('connection', (peer) => {
      peer.on('error', () => undefined);
      peer.on('data', (data) => {
        this.#text += data.toString();
        peer.end(data);
      });
    });
    socket.on('message', (data, { port, address }) => {
      this.#text += data.toString();
      socket.send(data, port, address);
    });
  }

  static async open(): Promise<HostWitness> {
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, '::', resolve);
    });
    const { port } = server.address() as { port: number };
    const socket = createSocket({ type: 'udp6', ipv6Only: false });
    await new Promise<void>((resolve) => {
      socket.bind(port, '::', resolve);
    });
    return new HostWitness(server, socket);
  }

  heard(word: string): boolean {
    return this.#text.includes(word);
  }

  close(): void {
    this.#tcp.close();
    this.#udp.close();
  }
}
