import { createWorld, type World } from '../server-app.ts';
import { createIdentities, type Identities } from './identities.ts';
import { type FuzzOperation, operationsOf } from './operations.ts';
import type { FuzzRequest } from './requests.ts';

const TRACES_OF_THE_INSIDE =
  /\.(?:ts|js|mjs):\d+|node_modules|node:internal|\bat [\w.<>]+ \(|sqlite|postgres|SELECT |INSERT |kysely|ZodError|TypeError|RangeError|\[object Object\]/i;

/** Whether the next requests miss something when this one succeeds. */
export const isDestructive = (method: string, path: string): boolean =>
  method === 'DELETE' || /^\/(password|recover|kill|token\/logout)/.test(path);

/** A server with data that is made anew when a request has taken away what the next ones need. */
export class Fuzzer {
  readonly operations: readonly FuzzOperation[];
  /** How often each status came, to show that not everything bounces off the door. */
  readonly seen = new Map<number, number>();
  readonly rejections: unknown[] = [];
  world: World;
  identities: Identities;
  readonly #make: () => Promise<World>;
  readonly #onRejection = (reason: unknown): void => {
    this.rejections.push(reason);
  };
  #sent = 0;
  #underWay: Promise<unknown> = Promise.resolve();

  private constructor(
    make: () => Promise<World>,
    world: World,
    identities: Identities,
    document: unknown,
  ) {
    this.#make = make;
    this.world = world;
    this.identities = identities;
    this.operations = operationsOf(document);
    process.on('unhandledRejection', this.#onRejection);
  }

  /** `newUri` names an empty database for each new server; without it each has its own in memory. */
  static async start(newUri?: () => Promise<string>): Promise<Fuzzer> {
    const make = async (): Promise<World> =>
      createWorld({ hasMail: true, ...(newUri === undefined ? {} : { uri: await newUri() }) });
    const world = await make();
    const { body } = await world.call('GET', '/apidocs');
    return new Fuzzer(make, world, await createIdentities(world), body);
  }

  /** Each from another address: limits of guessing would stop the fuzzer, and the document allows 429 everywhere. */
  send(request: FuzzRequest, authorization: string | undefined) {
    this.#sent += 1;
    return this.world.app.inject({
      remoteAddress: `198.18.${Math.floor(this.#sent / 250) % 250}.${this.#sent % 250}`,
      method: request.method as 'GET',
      url: request.url,
      headers: { ...request.headers, ...(authorization === undefined ? {} : { authorization }) },
      ...(request.payload === undefined ? {} : { payload: request.payload }),
    });
  }

  /** Sends it as a good caller; the answer was held against the document by then. Returns what is wrong with the rest. */
  faultOf(request: FuzzRequest): Promise<string | undefined> {
    const work = this.#faultOf(request);
    this.#underWay = work.catch(() => undefined);
    return work;
  }

  /** A time limit stops waiting in the middle of a request; the server is whole only afterwards. */
  async settled(): Promise<void> {
    await this.#underWay;
  }

  async close(): Promise<void> {
    process.off('unhandledRejection', this.#onRejection);
    await this.settled();
    await this.world.close();
  }

  async #faultOf(request: FuzzRequest): Promise<string | undefined> {
    const response = await this.send(request, this.identities.good[request.who]);
    const { statusCode: status, payload } = response;
    this.seen.set(status, (this.seen.get(status) ?? 0) + 1);
    // 501 where the document has it: what this server is not made or not configured for.
    if (status >= 500 && status !== 501)
      return `status ${status}: ${payload}\n${this.world.lines.slice(-2).join('\n')}`;
    if (status < 400) {
      await this.#renewAfter(request);
      return undefined;
    }
    if (TRACES_OF_THE_INSIDE.test(payload)) return `tells of the inside: ${payload}`;
    if (request.method === 'HEAD') return undefined;
    const { msg, code } = response.json<{ msg?: unknown; code?: unknown }>();
    return typeof msg === 'string' && msg !== '' && typeof code === 'string'
      ? undefined
      : `status ${status} without msg and code: ${payload}`;
  }

  async #renewAfter({ method, url }: FuzzRequest): Promise<void> {
    if (!isDestructive(method, url.slice('/api'.length))) return;
    await this.world.close();
    this.world = await this.#make();
    this.identities = await createIdentities(this.world);
  }
}
