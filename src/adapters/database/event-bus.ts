import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../../core/logger.ts';
import type { EventBus } from '../../server/interfaces/event-bus.ts';
import { createCollector, parsePart, toParts } from './event-parts.ts';
import { clientConfigOf } from './postgres.ts';
import { toPostgresError } from './postgres-errors.ts';
import type { PostgresAddress } from './postgres-uri.ts';

const CHANNEL = 'v6_events';
const CONNECT_MS = 5000;
/** A connection whose other end has vanished is noticed after this and one answer time. */
const ASK_EVERY_MS = 5000;
const PAUSE_MS = 500;
/** More parts that wait mean that the database does not keep up: events are dropped, which the others notice. */
const MAX_WAITING = 10_000;
const NOTIFY = 'select pg_notify($1, part) from unnest($2::text[]) part';

type Handlers = Parameters<EventBus['receive']>[0];

/** Events over NOTIFY and LISTEN, on one connection, so that they keep their order (https://www.postgresql.org/docs/current/sql-notify.html). */
export class PostgresEventBus implements EventBus {
  readonly #address: PostgresAddress;
  readonly #logger: Logger;
  readonly #sender = randomBytes(8).toString('hex');
  readonly #collector = createCollector();
  readonly #closing = new AbortController();
  #handlers: Handlers | undefined;
  #client: pg.Client | undefined;
  #sequence = 0;
  #waiting: string[] = [];
  #isSending = false;

  constructor(address: PostgresAddress, logger: Logger) {
    this.#address = address;
    this.#logger = logger;
  }

  receive(handlers: Handlers): void {
    this.#handlers = handlers;
  }

  send(text: string): void {
    this.#sequence += 1;
    if (this.#client === undefined || this.#waiting.length >= MAX_WAITING) return;
    this.#waiting.push(...toParts(this.#sender, this.#sequence, text));
    void this.#sendWaiting();
  }

  /** One query at a time, each with all that waits. */
  async #sendWaiting(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    for (;;) {
      const client = this.#client;
      const parts = this.#waiting.splice(0);
      if (client === undefined || parts.length === 0) break;
      try {
        await client.query(NOTIFY, [CHANNEL, parts]);
      } catch {
        this.#drop(client);
      }
    }
    this.#isSending = false;
  }

  async open(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      throw toPostgresError(error, this.#address.label);
    }
    void this.#stay();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      ...clientConfigOf(this.#address),
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: CONNECT_MS,
    });
    client.on('error', () => this.#drop(client));
    client.on('end', () => this.#drop(client));
    client.on('notification', ({ payload }) => this.#take(payload ?? ''));
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
    } catch (error) {
      client.end().catch(() => undefined);
      throw error;
    }
    this.#client = client;
  }

  /** Uses the connection now and then, so that its end is noticed, and makes a new one, until `close`. */
  async #stay(): Promise<void> {
    const { signal } = this.#closing;
    for (;;) {
      try {
        await setTimeout(this.#client === undefined ? PAUSE_MS : ASK_EVERY_MS, undefined, {
          signal,
        });
      } catch {
        return;
      }
      const client = this.#client;
      if (client === undefined) await this.#reconnect();
      // Like any message, only that it says nothing.
      else this.send('');
    }
  }

  async #reconnect(): Promise<void> {
    try {
      await this.#connect();
    } catch {
      return;
    }
    if (this.#closing.signal.aborted) {
      await this.close();
      return;
    }
    this.#logger.info('Events of other replicas are heard again');
    this.#collector.forget();
    this.#handlers?.missed();
    // Says nothing, but its number shows the others whether they missed something of ours.
    this.send('');
  }

  #drop(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#logger.warn('The database does not carry events between replicas: connecting again');
    client.end().catch(() => undefined);
  }

  #take(payload: string): void {
    const part = parsePart(payload);
    if (part === undefined || part.sender === this.#sender) return;
    const { text, isGap } = this.#collector.take(part);
    if (isGap) this.#handlers?.missed();
    if (text !== undefined && text !== '') this.#handlers?.hear(text);
  }
}
