import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Fuzzer, isDestructive } from '../support/fuzz/fuzzer.ts';
import { requestsFor } from '../support/fuzz/requests.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

const SEED = Number(process.env.V6_FUZZ_SEED ?? 20_260_504);
const SECONDS = process.env.V6_FUZZ_SECONDS;
const LIMIT_MS = Number(SECONDS ?? 20) * 1000;

let postgres: TestPostgres;
let fuzzer: Fuzzer;
beforeAll(async () => {
  postgres = await startPostgres();
  fuzzer = await Fuzzer.start(() => postgres.newDatabase());
}, 60_000);
afterAll(async () => {
  await fuzzer.close();
  await postgres.remove();
});

it(
  'nothing that a request holds makes PostgreSQL fail: it is stricter than SQLite on text, numbers and patterns',
  async () => {
    const identities = [...Object.keys(fuzzer.identities.good), 'root', 'root', 'root'];
    const all = fuzzer.operations.map((operation) => ({
      // A new database after each deletion takes longer than a hundred requests.
      weight: isDestructive(operation.method, operation.path) ? 1 : 12,
      arbitrary: requestsFor(operation, identities),
    }));
    const requests = fc.oneof(...all);
    await fc.assert(
      fc.asyncProperty(requests, async (request) => {
        expect(await fuzzer.faultOf(request)).toBeUndefined();
      }),
      {
        seed: SEED,
        endOnFailure: false,
        numRuns: SECONDS === undefined ? 1500 : 1_000_000,
        interruptAfterTimeLimit: LIMIT_MS,
      },
    );
    await fuzzer.settled();
    expect(fuzzer.rejections).toStrictEqual([]);
    for (const status of [200, 400, 404])
      expect(fuzzer.seen.get(status), String(status)).toBeGreaterThan(0);
  },
  LIMIT_MS * 4,
);
