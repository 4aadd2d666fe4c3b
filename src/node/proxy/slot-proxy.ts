import { createHash, timingSafeEqual } from 'node:crypto';
import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import path from 'node:path';
import { Readable } from 'node:stream';
import { whenAborted } from '../../core/abort.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { type Payloads, plainPayloads } from '../encryption/payloads.ts';
import type { ProxyUpstream, UpstreamRequest } from '../interfaces/proxy-upstream.ts';
import { BodyBudget, type HeldBodies } from './body-budget.ts';
import { type BodyWork, bodyWorkOf, decryptResults, encryptTask } from './encrypted-bodies.ts';
import { type AddressSink, addressWorkOf, listedAddresses, notYet } from './listed-addresses.ts';
import { isPublicRequest, tokenTaskOf, upstreamPath } from './request-check.ts';
import { clearSocket, isSocket } from './socket-file.ts';
import { watchSockets } from './socket-watch.ts';

/** The run that may call through a slot. */
export interface ProxyCaller {
  readonly run: number;
  readonly task: number;
  readonly tokenHash: string;
}

export interface SlotProxyOptions {
  /** Folder of the sockets, `slot-<index>.sock`. */
  readonly folder: string;
  /** Bytes of a request's body at most. */
  readonly maxBodyBytes?: number;
  /** Bytes of bodies that are held whole at once, of all slots together. */
  readonly maxHeldBytes?: number;
}

const MAX_BODY_BYTES = 256 * 1024 * 1024;
const MAX_CONNECTIONS_PER_SLOT = 64;

/** SHA-256 of a token, hex: what we keep instead of the token. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/**
 * What algorithms see as the coordination server: one HTTP server per slot, on a unix socket to which the VPN client relays
 * the slot's gateway address. The socket tells which run is calling; a token of any other run is refused. Requests are passed
 * on once, and answers with their true status.
 */
export class SlotProxy {
  readonly #upstream: ProxyUpstream;
  readonly #logger: Logger;
  readonly #folder: string;
  readonly #maxBodyBytes: number;
  readonly #servers = new Map<number, Server>();
  /** Slots of servers that lost their socket, with the calls that were open then. */
  readonly #replaced = new Map<Server, number>();
  /** Slots that could not be listened for again. */
  readonly #unmended = new Set<number>();
  /** What an earlier daemon left has been cleared away. */
  #swept: Promise<void> | undefined;
  readonly #callers = new Map<number, ProxyCaller>();
  readonly #budget: BodyBudget;
  #payloads: Payloads = plainPayloads;
  #families: AddressSink | undefined;

  constructor(upstream: ProxyUpstream, logger: Logger, options: SlotProxyOptions) {
    this.#upstream = upstream;
    this.#logger = logger;
    this.#folder = options.folder;
    this.#maxBodyBytes = options.maxBodyBytes ?? MAX_BODY_BYTES;
    this.#budget = new BodyBudget(options.maxHeldBytes);
  }

  /** How inputs and results travel in the collaboration; without it, as algorithms write them. */
  usePayloads(payloads: Payloads): void {
    this.#payloads = payloads;
  }

  /** Who lets the algorithms reach what answers tell them; without it nobody does. */
  useFamilies(families: AddressSink): void {
    this.#families = families;
  }

  /** Path of a slot's socket. */
  socketOf(index: number): string {
    return path.join(this.#folder, `slot-${index}.sock`);
  }

  /** Starts to listen for a slot; repeating it changes nothing. A socket that a crash left behind is replaced. */
  async open(index: number): Promise<void> {
    if (this.#servers.has(index)) return;
    const server = createServer((request, response) => {
      void this.#answer(index, request, response);
    });
    server.maxConnections = MAX_CONNECTIONS_PER_SLOT;
    server.requestTimeout = 0;
    server.headersTimeout = 20_000;
    server.keepAliveTimeout = 30_000;
    this.#servers.set(index, server);
    const socket = this.socketOf(index);
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await chmod(this.#folder, 0o700);
      this.#swept ??= this.#sweep();
      await this.#swept;
      await clearSocket(socket);
      // Nobody would ever close it.
      if (this.#servers.get(index) !== server) throw new Error('the slot was closed meanwhile');
      // The folder keeps others out. No chmod of the socket: the VPN client may write in there, and could have put a link to a
      // file of the host in its place by then.
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(socket, resolve);
      });
    } catch (error) {
      if (this.#servers.get(index) === server) this.#servers.delete(index);
      this.#swept = undefined;
      throw new V6Error('V6_NODE_NOT_READY', `Cannot listen on ${socket}`, {
        cause: error,
        hints: ['Check that the folder exists, and that the path has 107 bytes at most.'],
      });
    }
  }

  /** Sockets of a daemon that was killed, some of slots that are no more; never one of ours. */
  async #sweep(): Promise<void> {
    const names = await readdir(this.#folder);
    await Promise.all(
      names
        .filter((name) => {
          const index = /^slot-(\d+)\.sock$/.exec(name)?.[1];
          return index !== undefined && !this.#servers.has(Number(index));
        })
        .map((name) => clearSocket(path.join(this.#folder, name))),
    );
  }

  /** Listens again where somebody removed the socket or put something else there; true when that was so. Open calls go on. */
  async mend(index: number): Promise<boolean> {
    const server = this.#servers.get(index);
    if (server === undefined && !this.#unmended.has(index)) return false;
    if (server !== undefined) {
      if (await isSocket(this.socketOf(index))) return false;
      if (this.#servers.get(index) !== server) return false;
      this.#servers.delete(index);
      this.#unmended.add(index);
      this.#replaced.set(server, index);
      server.close(() => this.#replaced.delete(server));
    }
    await this.open(index);
    this.#unmended.delete(index);
    return true;
  }

  /** Tells when one of our sockets is removed, until the signal aborts: `mend` helps. A hint only. */
  watch(onMissing: (hint: string) => void, signal: AbortSignal): void {
    watchSockets({
      folder: this.#folder,
      signal,
      isMissing: async (name) => {
        const index = Number(/^slot-(\d+)\.sock$/.exec(name)?.[1] ?? -1);
        return this.#servers.has(index) && !(await isSocket(this.socketOf(index)));
      },
      onMissing: (name) => onMissing(`the socket ${name} of the proxy is gone`),
    });
  }

  /** From now on only this run may call through the slot. */
  assign(index: number, caller: ProxyCaller): void {
    this.#callers.set(index, caller);
  }

  /** The run ended: its token is refused from now on. */
  withdraw(index: number): void {
    this.#callers.delete(index);
  }

  /** Stops to listen and cuts open connections; not listening is fine. */
  async close(index: number): Promise<void> {
    const server = this.#servers.get(index);
    this.#servers.delete(index);
    this.#unmended.delete(index);
    this.#callers.delete(index);
    for (const [replaced, of] of this.#replaced) if (of === index) replaced.closeAllConnections();
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    await clearSocket(this.socketOf(index));
  }

  /** Closes all and removes the folder. */
  async closeAll(): Promise<void> {
    const open = new Set([...this.#servers.keys(), ...this.#replaced.values()]);
    await Promise.all([...open].map((index) => this.close(index)));
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #answer(index: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const ended = new AbortController();
    response.once('close', () => ended.abort(new V6Error('V6_INTERRUPTED', 'The caller left')));
    const held = this.#budget.open();
    try {
      await this.#passOn(index, request, response, { held, signal: ended.signal });
    } catch (thrown) {
      if (ended.signal.aborted && response.destroyed) return;
      const error = toV6Error(thrown);
      if (error.code === 'V6_BUG')
        this.#logger.error('The proxy failed on a request', { code: error.code, error });
      if (response.headersSent) response.destroy();
      else
        sendJson(response, statusOf(error), {
          msg: error.code === 'V6_BUG' ? 'Internal error of the node' : error.message,
          code: error.code,
        });
    } finally {
      held.release();
    }
  }

  async #passOn(
    index: number,
    request: IncomingMessage,
    response: ServerResponse,
    { held, signal }: { readonly held: HeldBodies; readonly signal: AbortSignal },
  ): Promise<void> {
    const target = upstreamPath(request.url ?? '/');
    const method = request.method ?? 'GET';
    const caller = isPublicRequest(method, target)
      ? undefined
      : this.#checkCaller(index, request.headers.authorization);
    const work = this.#payloads.encrypted ? bodyWorkOf(method, target) : 'none';
    if (work === 'blob') throw noBlobs();
    const answer = await this.#upstream.forward({
      method,
      path: target,
      authorization: request.headers.authorization,
      contentType: request.headers['content-type'],
      ...(await this.#bodyOf(request, work, { held, signal })),
      signal,
    });
    const addresses = addressWorkOf(method, target);
    if (answer.status === 200 && (work === 'results' || addresses !== 'none')) {
      const body = await held.collect(bounded(answer.body, this.#maxBodyBytes));
      // The slot may be another run's by now.
      if (caller !== undefined && this.#callers.get(index)?.run !== caller.run)
        throw runOver(caller);
      if (addresses !== 'none') await this.#allow(caller?.run, addresses, body);
      // Before the first word of the answer: a result that cannot be read is an error.
      const readable = work === 'results' ? decryptResults(body, this.#payloads) : body;
      response.writeHead(200, { 'content-type': answer.contentType });
      response.end(readable);
      await sent(response, signal);
      return;
    }
    response.writeHead(answer.status, { 'content-type': answer.contentType });
    for await (const chunk of answer.body) {
      if (!response.write(chunk)) await drained(response, signal);
    }
    response.end();
  }

  /** What the answer lists can be reached before it is passed on: an algorithm calls at once, and only once. */
  async #allow(run: number | undefined, work: 'family' | 'any', body: Uint8Array): Promise<void> {
    if (run === undefined || this.#families === undefined) return;
    const listed = listedAddresses(body);
    if (listed.length === 0) return;
    try {
      if (work === 'family') await this.#families.learn(run, listed);
      else await this.#families.confirm(run, listed);
    } catch (thrown) {
      const { code, message } = toV6Error(thrown);
      this.#logger.warn('The addresses of an answer could not be allowed', {
        run,
        code,
        error: thrown,
      });
      throw notYet(message, thrown);
    }
  }

  async #bodyOf(
    request: IncomingMessage,
    work: BodyWork,
    { held, signal }: { readonly held: HeldBodies; readonly signal: AbortSignal },
  ): Promise<Pick<UpstreamRequest, 'body' | 'contentLength'>> {
    const contentLength = bodyLength(request, this.#maxBodyBytes);
    if (work === 'task') {
      const plain = await held.collect(bounded(request, this.#maxBodyBytes));
      const body = await encryptTask(plain, this.#payloads, signal);
      return { body: Readable.from([body]), contentLength: body.length };
    }
    if (contentLength === 0) return { body: undefined, contentLength };
    return { body: bounded(request, this.#maxBodyBytes), contentLength };
  }

  #checkCaller(index: number, authorization: string | undefined): ProxyCaller {
    const token = /^Bearer (.+)$/.exec(authorization ?? '')?.[1];
    if (token === undefined)
      throw new V6Error('V6_AUTH_REQUIRED', 'The request carries no bearer token');
    const caller = this.#callers.get(index);
    if (caller !== undefined && isSame(hashToken(token), caller.tokenHash)) return caller;
    const task = tokenTaskOf(token);
    this.#logger.warn('The proxy refused a token that does not belong to the calling run', {
      run: caller?.run,
      task,
      code: 'V6_AUTH_FORBIDDEN',
    });
    throw new V6Error(
      'V6_AUTH_FORBIDDEN',
      task === undefined || task === caller?.task
        ? 'This token does not belong to the run that uses it'
        : `This token belongs to task ${task}, not to the run that uses it`,
    );
  }
}

function isSame(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

function statusOf(error: V6Error): number {
  if (error.code === 'V6_SERVER_UNREACHABLE') return 503;
  if ('limitBytes' in error.details) return 413;
  return error.entry.httpStatus;
}

/** Undefined: chunked, not known ahead. */
function bodyLength(request: IncomingMessage, limit: number): number | undefined {
  if (request.headers['transfer-encoding'] !== undefined) return undefined;
  const length = Number(request.headers['content-length'] ?? 0);
  if (length > limit) throw tooLarge(limit);
  return length;
}

async function* bounded(body: AsyncIterable<Uint8Array>, limit: number): AsyncIterable<Uint8Array> {
  let total = 0;
  for await (const chunk of body) {
    total += chunk.byteLength;
    if (total > limit) throw tooLarge(limit);
    yield chunk;
  }
}

/** The bodies of blobs are streams of their own form, which this node neither encrypts nor decrypts. */
function noBlobs(): V6Error {
  return new V6Error(
    'V6_REQUEST_INVALID',
    'This node passes no blobs on in an encrypted collaboration: they would travel unencrypted',
    { hints: ['Send inputs in the body of the task.'] },
  );
}

function runOver({ run }: ProxyCaller): V6Error {
  return new V6Error('V6_AUTH_FORBIDDEN', `Run ${run}, which asked, has ended`);
}

function tooLarge(limit: number): V6Error {
  return new V6Error('V6_REQUEST_INVALID', `The body is larger than ${limit} bytes`, {
    details: { limitBytes: limit },
  });
}

/** The answer is with the kernel, or its reader has left. */
function sent(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (response.writableFinished) resolve();
    response.once('finish', resolve);
    whenAborted(signal, resolve);
  });
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    response.once('drain', () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    connection: 'close',
  });
  response.end(text);
}
