import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { Link } from './link.ts';
import {
  answerTo,
  type EchoMessage,
  newNonce,
  parseMessage,
  renderMessage,
  type Self,
} from './wire.ts';

export interface StationPorts {
  /** 0 takes a free one. */
  readonly tcp: number;
  readonly udp: number;
  /** Where to listen; every address by default. */
  readonly host?: string;
}

const MAX_LINKS = 1024;

/**
 * One echo container: answers probes on TCP and UDP, and keeps what peers said. A peer may be told that we are done with
 * it over any connection between the two, whoever opened it; so one open direction is enough for both to end early.
 */
export class EchoStation {
  readonly #self: Self;
  readonly #peers: ReadonlySet<number>;
  readonly #tcp: Server;
  readonly #udp: UdpSocket;
  readonly #links = new Set<Link>();
  readonly #linksOf = new Map<number, Set<Link>>();
  readonly #doneBy = new Set<number>();
  readonly #ackedBy = new Set<number>();
  readonly #doneWith = new Set<number>();
  readonly #heardAt = new Map<number, number>();
  #waiters: (() => void)[] = [];

  constructor(self: Self, peers: readonly number[]) {
    this.#self = self;
    this.#peers = new Set(peers);
    this.#tcp = createServer((socket) => {
      if (this.#links.size >= MAX_LINKS) socket.destroy();
      else this.#adopt(new Link(socket, this.receive));
    });
    this.#udp = createSocket('udp4');
    this.#udp.on('message', (bytes, { address, port }) => {
      const message = parseMessage(bytes.toString('latin1'));
      if (message?.kind !== 'probe') return;
      this.#hear(message);
      this.#udp.send(renderMessage(answerTo(message, this.#self)), port, address, () => {});
    });
  }

  /** Opens both ports. Rejects with the errno when one is taken. */
  async listen({ tcp, udp, host = '0.0.0.0' }: StationPorts): Promise<void> {
    this.#tcp.listen(tcp, host);
    await once(this.#tcp, 'listening');
    this.#udp.bind(udp, host);
    await once(this.#udp, 'listening');
    // An ICMP error to one of our answers concerns its peer only.
    this.#udp.on('error', () => {});
  }

  /** The ports in use. */
  get ports(): { readonly tcp: number; readonly udp: number } {
    return { tcp: (this.#tcp.address() as AddressInfo).port, udp: this.#udp.address().port };
  }

  /** Handles a message from either end of a connection; given to the links that we open ourselves. */
  readonly receive = (message: EchoMessage, link: Link): void => {
    this.#hear(message);
    const isPeer = message.task === this.#self.task && this.#peers.has(message.from);
    if (message.kind === 'probe' || message.kind === 'done') {
      link.send(answerTo(message, this.#self));
      if (isPeer) this.#remember(message.from, link);
    }
    if (isPeer && message.kind === 'done') this.#doneBy.add(message.from);
    if (isPeer && message.kind === 'ack') this.#ackedBy.add(message.from);
    this.#notify();
  };

  /** Keeps a connection that we opened to a peer, so that `done` can go over it. */
  remember(peer: number, link: Link): void {
    this.#adopt(link);
    this.#remember(peer, link);
  }

  hasSaidDone(peer: number): boolean {
    return this.#doneBy.has(peer);
  }

  hasAcknowledged(peer: number): boolean {
    return this.#ackedBy.has(peer);
  }

  /** When the peer was last heard, in ms of `performance.now`; -Infinity when never. */
  heardAt(peer: number): number {
    return this.#heardAt.get(peer) ?? Number.NEGATIVE_INFINITY;
  }

  /** Our probes of this peer have ended: says so on every connection with it, now and later. */
  sayDone(peer: number): boolean {
    this.#doneWith.add(peer);
    const links = [...(this.#linksOf.get(peer) ?? [])].filter((link) => link.isOpen);
    for (const link of links) this.#sendDone(peer, link);
    return links.length > 0;
  }

  /** Resolves when a message came in, or after `ms`. */
  async changed(ms: number): Promise<void> {
    const change = Promise.withResolvers<void>();
    this.#waiters.push(change.resolve);
    const timer = setTimeout(change.resolve, ms);
    await change.promise;
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.close();
    this.#notify();
    const closed = [once(this.#udp, 'close')];
    this.#udp.close();
    if (this.#tcp.listening) {
      closed.push(once(this.#tcp, 'close'));
      this.#tcp.close();
    }
    await Promise.all(closed);
  }

  #adopt(link: Link): void {
    for (const known of this.#links) if (!known.isOpen) this.#links.delete(known);
    this.#links.add(link);
  }

  #remember(peer: number, link: Link): void {
    const links = this.#linksOf.get(peer) ?? new Set();
    this.#linksOf.set(peer, links);
    if (links.has(link)) return;
    links.add(link);
    if (this.#doneWith.has(peer)) this.#sendDone(peer, link);
  }

  #sendDone(peer: number, link: Link): void {
    const { task, organization } = this.#self;
    link.send({ kind: 'done', task, from: organization, to: peer, nonce: newNonce() });
  }

  #hear(message: EchoMessage): void {
    if (message.task === this.#self.task) this.#heardAt.set(message.from, performance.now());
  }

  #notify(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
