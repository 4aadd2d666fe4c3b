import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createIdentities, type Identities } from '../support/fuzz/identities.ts';
import { type FuzzOperation, operationsOf, type Schema } from '../support/fuzz/operations.ts';
import { type FuzzRequest, requestsFor } from '../support/fuzz/requests.ts';
import { createWorld, type World } from '../support/server-app.ts';

/** The same requests each time, fewer on a slow machine; V6_FUZZ_SEED and V6_FUZZ_SECONDS look further. */
const SEED = Number(process.env.V6_FUZZ_SEED ?? 20_260_504);
const SECONDS = process.env.V6_FUZZ_SECONDS;
const LIMIT_MS = Number(SECONDS ?? 18) * 1000;
const RUNS = SECONDS === undefined ? 3000 : 1_000_000;

const TRACES_OF_THE_INSIDE =
  /\.(?:ts|js|mjs):\d+|node_modules|node:internal|\bat [\w.<>]+ \(|sqlite|SELECT |INSERT |kysely|ZodError|TypeError|RangeError|\[object Object\]/i;

interface Subject {
  readonly world: World;
  readonly identities: Identities;
}

async function fresh(): Promise<Subject> {
  const world = await createWorld({ hasMail: true });
  return { world, identities: await createIdentities(world) };
}

let subject: Subject;
let operations: readonly FuzzOperation[];
let rejections: unknown[];
let underWay: Promise<string | undefined> | undefined;
/** How often each status came, to show that not everything bounces off the door. */
const seen = new Map<number, number>();
const onRejection = (reason: unknown): void => {
  rejections.push(reason);
};

beforeAll(async () => {
  rejections = [];
  process.on('unhandledRejection', onRejection);
  subject = await fresh();
  operations = operationsOf((await subject.world.call('GET', '/apidocs')).body);
});
afterAll(async () => {
  process.off('unhandledRejection', onRejection);
  await subject.world.close();
});

let sent = 0;

/** Each from another address: limits of guessing would stop the fuzzer, and the document allows 429 everywhere. */
const send = (request: FuzzRequest, authorization: string | undefined) =>
  subject.world.app.inject({
    remoteAddress: `198.18.${Math.floor((sent += 1) / 250) % 250}.${sent % 250}`,
    method: request.method as 'GET',
    url: request.url,
    headers: { ...request.headers, ...(authorization === undefined ? {} : { authorization }) },
    ...(request.payload === undefined ? {} : { payload: request.payload }),
  });

/** Sends it; the answer was held against the document by then. Returns what is wrong with the rest. */
async function faultOf(request: FuzzRequest, authorization: string | undefined) {
  const response = await send(request, authorization);
  const { statusCode: status, payload } = response;
  seen.set(status, (seen.get(status) ?? 0) + 1);
  // 501 where the document has it: what this server is not made or not configured for.
  if (status >= 500 && status !== 501)
    return `status ${status}: ${payload}\n${subject.world.lines.slice(-2).join('\n')}`;
  if (TRACES_OF_THE_INSIDE.test(payload) && status >= 400) return `tells of the inside: ${payload}`;
  if (status < 400) {
    // What was deleted or killed, and whose tokens were ended, would be missed by the next requests.
    const isMissed = /^\/api\/(password|recover|kill|token\/logout)/.test(request.url);
    if (request.method === 'DELETE' || isMissed) await renew();
    return undefined;
  }
  if (request.method === 'HEAD') return undefined;
  const { msg, code } = response.json<{ msg?: unknown; code?: unknown }>();
  return typeof msg === 'string' && msg !== '' && typeof code === 'string'
    ? undefined
    : `status ${status} without msg and code: ${payload}`;
}

async function renew(): Promise<void> {
  await subject.world.close();
  subject = await fresh();
}

const report = { seed: SEED, endOnFailure: false, verbose: 0 } as const;

describe('any request', () => {
  it(
    'of a known caller gets an answer of the document below 500, with msg and code when refused',
    async () => {
      const identities = [...Object.keys(subject.identities.good), 'root', 'root'];
      const requests = fc.oneof(...operations.map((one) => requestsFor(one, identities)));
      await fc.assert(
        fc.asyncProperty(requests, async (request) => {
          // The time limit stops waiting in the middle of a request; the server has to be whole afterwards.
          underWay = faultOf(request, subject.identities.good[request.who]);
          expect(await underWay).toBeUndefined();
        }),
        { ...report, numRuns: RUNS, interruptAfterTimeLimit: LIMIT_MS },
      );
      await underWay;
      for (const status of [200, 201, 400, 401, 403, 404])
        expect(seen.get(status), String(status)).toBeGreaterThan(0);
    },
    LIMIT_MS * 4,
  );

  it(
    'with a bad token is 401 or 422 wherever one is needed, whatever else it carries',
    async () => {
      const identities = Object.keys(subject.identities.bad);
      const closed = operations.filter(
        ({ isPublic, path }) => !isPublic && path !== '/token/refresh',
      );
      const requests = fc.oneof(...closed.map((one) => requestsFor(one, identities)));
      await fc.assert(
        fc.asyncProperty(requests, async (request) => {
          const authorization = subject.identities.bad[request.who] ?? '';
          const response = await send(request, authorization);
          const allowed = [400, 401, 404, 405, 414, 415, 422];
          if (request.method === 'OPTIONS') allowed.push(200);
          expect(allowed).toContain(response.statusCode);
        }),
        { ...report, numRuns: RUNS / 3, interruptAfterTimeLimit: LIMIT_MS / 3 },
      );
    },
    LIMIT_MS * 2,
  );

  it('leaves the server alive, without unhandled rejections and without holding memory', async () => {
    expect((await subject.world.call('GET', '/health')).status).toBe(200);
    expect(rejections).toStrictEqual([]);
    expect(process.memoryUsage().heapUsed / 2 ** 20).toBeLessThan(1024);
  });
});

/** What a field with this schema never takes, however leniently it is read. */
function surelyWrong(schema: Schema): unknown {
  const kinds = (schema.anyOf ?? [schema]).map((one) => one.type);
  if (kinds.includes('object') || kinds.includes('array')) return 'neither list nor object';
  return { neither: ['text', 'nor', 'number'] };
}

describe('the field at fault', () => {
  const token = (caller: string): string => subject.identities.good[caller]?.slice(7) ?? '';

  it('is named in `errors` for every field of every body', async () => {
    for (const { method, path, body } of operations) {
      const url = urlOf(path);
      for (const [field, schema] of Object.entries(body?.properties ?? {})) {
        const answer = await subject.world.call(method, url, {
          token: token('root'),
          body: { [field]: surelyWrong(schema) },
        });
        expect([`${method} ${path}`, answer.status]).toStrictEqual([`${method} ${path}`, 400]);
        expect(answer.body.errors, `${method} ${path} ${field}`).toHaveProperty([field]);
      }
    }
  });

  it('is named in `errors` for every parameter with a type', async () => {
    for (const { method, path, parameters, isPublic } of operations) {
      const typed = parameters.filter(
        ({ schema }) => schema.type !== 'string' || schema.enum !== undefined,
      );
      for (const { name, in: place } of typed) {
        const wrong = 'not one of these';
        const url =
          place === 'path'
            ? path.replaceAll(/\{\w+\}/g, encodeURIComponent(wrong))
            : `${urlOf(path)}?${name}=${encodeURIComponent(wrong)}`;
        const answer = await subject.world.call(
          method,
          url,
          isPublic ? {} : { token: token('root') },
        );
        expect([`${method} ${url}`, answer.status]).toStrictEqual([`${method} ${url}`, 400]);
        expect(answer.body.errors, `${method} ${url}`).toHaveProperty([name]);
      }
    }
  });

  it('is named when it is unknown, in bodies and in queries of lists', async () => {
    for (const { method, path, body, parameters } of operations) {
      const url = urlOf(path);
      if (body !== undefined) {
        const answer = await subject.world.call(method, url, {
          token: token('root'),
          body: { colour: 'red' },
        });
        expect(answer.body.errors, `${method} ${path}`).toMatchObject({
          colour: ['Unknown field.'],
        });
      }
      if (parameters.every((one) => one.in === 'path')) continue;
      const answer = await subject.world.call(method, `${url}?colour=red`, {
        token: token('root'),
      });
      expect(answer.body.errors, `${method} ${path}`).toMatchObject({ colour: ['Unknown field.'] });
    }
  });
});

const urlOf = (path: string): string => path.replaceAll(/\{\w+\}/g, '1');
