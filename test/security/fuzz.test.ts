import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Fuzzer } from '../support/fuzz/fuzzer.ts';
import type { Schema } from '../support/fuzz/operations.ts';
import { requestsFor } from '../support/fuzz/requests.ts';

/** The same requests each time, fewer on a slow machine; V6_FUZZ_SEED and V6_FUZZ_SECONDS look further. */
const SEED = Number(process.env.V6_FUZZ_SEED ?? 20_260_504);
const SECONDS = process.env.V6_FUZZ_SECONDS;
const LIMIT_MS = Number(SECONDS ?? 18) * 1000;
const RUNS = SECONDS === undefined ? 3000 : 1_000_000;

let fuzzer: Fuzzer;
beforeAll(async () => {
  fuzzer = await Fuzzer.start();
});
afterAll(() => fuzzer.close());

const report = { seed: SEED, endOnFailure: false, verbose: 0 } as const;

describe('any request', () => {
  it(
    'of a known caller gets an answer of the document below 500, with msg and code when refused',
    async () => {
      const identities = [...Object.keys(fuzzer.identities.good), 'root', 'root'];
      const requests = fc.oneof(...fuzzer.operations.map((one) => requestsFor(one, identities)));
      await fc.assert(
        fc.asyncProperty(requests, async (request) => {
          expect(await fuzzer.faultOf(request)).toBeUndefined();
        }),
        { ...report, numRuns: RUNS, interruptAfterTimeLimit: LIMIT_MS },
      );
      await fuzzer.settled();
      for (const status of [200, 201, 400, 401, 403, 404])
        expect(fuzzer.seen.get(status), String(status)).toBeGreaterThan(0);
    },
    LIMIT_MS * 4,
  );

  it(
    'with a bad token is 401 or 422 wherever one is needed, whatever else it carries',
    async () => {
      const identities = Object.keys(fuzzer.identities.bad);
      const closed = fuzzer.operations.filter(
        ({ isPublic, path }) => !isPublic && path !== '/token/refresh',
      );
      const requests = fc.oneof(...closed.map((one) => requestsFor(one, identities)));
      await fc.assert(
        fc.asyncProperty(requests, async (request) => {
          const authorization = fuzzer.identities.bad[request.who] ?? '';
          const response = await fuzzer.send(request, authorization);
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
    expect((await fuzzer.world.call('GET', '/health')).status).toBe(200);
    expect(fuzzer.rejections).toStrictEqual([]);
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
  const token = (caller: string): string => fuzzer.identities.good[caller]?.slice(7) ?? '';

  it('is named in `errors` for every field of every body', async () => {
    for (const { method, path, body } of fuzzer.operations) {
      const url = urlOf(path);
      for (const [field, schema] of Object.entries(body?.properties ?? {})) {
        const answer = await fuzzer.world.call(method, url, {
          token: token('root'),
          body: { [field]: surelyWrong(schema) },
        });
        expect([`${method} ${path}`, answer.status]).toStrictEqual([`${method} ${path}`, 400]);
        expect(answer.body.errors, `${method} ${path} ${field}`).toHaveProperty([field]);
      }
    }
  });

  it('is named in `errors` for every parameter with a type', async () => {
    for (const { method, path, parameters, isPublic } of fuzzer.operations) {
      const typed = parameters.filter(
        ({ schema }) => schema.type !== 'string' || schema.enum !== undefined,
      );
      for (const { name, in: place } of typed) {
        const wrong = 'not one of these';
        const url =
          place === 'path'
            ? path.replaceAll(/\{\w+\}/g, encodeURIComponent(wrong))
            : `${urlOf(path)}?${name}=${encodeURIComponent(wrong)}`;
        const answer = await fuzzer.world.call(
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
    for (const { method, path, body, parameters } of fuzzer.operations) {
      const url = urlOf(path);
      if (body !== undefined) {
        const answer = await fuzzer.world.call(method, url, {
          token: token('root'),
          body: { colour: 'red' },
        });
        expect(answer.body.errors, `${method} ${path}`).toMatchObject({
          colour: ['Unknown field.'],
        });
      }
      if (parameters.every((one) => one.in === 'path')) continue;
      const answer = await fuzzer.world.call(method, `${url}?colour=red`, {
        token: token('root'),
      });
      expect(answer.body.errors, `${method} ${path}`).toMatchObject({ colour: ['Unknown field.'] });
    }
  });
});

const urlOf = (path: string): string => path.replaceAll(/\{\w+\}/g, '1');
