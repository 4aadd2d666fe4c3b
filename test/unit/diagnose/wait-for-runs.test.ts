import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../src/core/errors.ts';
import type { Run } from '../../../src/core/protocol/entities.ts';
import { waitForRuns } from '../../../src/diagnose/wait-for-runs.ts';

const relation = { id: 1, link: '', methods: [] };
const run = (changes: Partial<Run>): Run => ({
  id: 1,
  status: 'active',
  input: '',
  log: null,
  assigned_at: null,
  started_at: null,
  finished_at: null,
  blob_storage_used: false,
  organization: relation,
  task: relation,
  node: {},
  ports: [],
  ...changes,
});
const ended = run({ status: 'completed', finished_at: '2026-05-04T09:12:33' });

/** Time that passes only by sleeping; keeps what was slept. */
function fakeTime() {
  let nowMs = 0;
  const sleeps: number[] = [];
  const clock = {
    now: () => new Date(nowMs),
    sleep: (ms: number, signal?: AbortSignal) => {
      signal?.throwIfAborted();
      sleeps.push(ms);
      nowMs += ms;
      return Promise.resolve();
    },
  };
  return { clock, sleeps };
}

function answering(...answers: readonly (readonly Run[] | Error)[]) {
  let calls = 0;
  return {
    listRuns: () => {
      const answer = answers[Math.min(calls++, answers.length - 1)];
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer ?? []);
    },
  };
}

const away = new V6Error('V6_SERVER_UNREACHABLE', 'no answer');
const { signal } = new AbortController();

describe('waiting for the runs of a task', () => {
  it('returns them when all have ended, with pauses that grow to one second at most', async () => {
    const { clock, sleeps } = fakeTime();
    const open = Array.from({ length: 8 }, () => [run({})]);
    const client = answering(...open, [ended]);
    expect(await waitForRuns({ client, clock }, 1, { limitMs: 60_000, signal })).toEqual([ended]);
    expect(sleeps[0]).toBe(200);
    expect(sleeps).toEqual(sleeps.toSorted((a, b) => a - b));
    expect(Math.max(...sleeps)).toBe(1000);
  });

  it('does not take a final status without an end for the end', async () => {
    const { clock } = fakeTime();
    const client = answering([run({ status: 'completed' })], [ended]);
    expect(await waitForRuns({ client, clock }, 1, { limitMs: 9000, signal })).toEqual([ended]);
  });

  it('returns them as they are when the limit is over', async () => {
    const { clock, sleeps } = fakeTime();
    const client = answering([run({})]);
    const runs = await waitForRuns({ client, clock }, 1, { limitMs: 5000, signal });
    expect(runs).toEqual([run({})]);
    expect(sleeps.reduce((sum, ms) => sum + ms, 0)).toBe(5000);
  });

  it('asks again while the server is away, and keeps what it knew', async () => {
    const { clock } = fakeTime();
    const client = answering(away, [run({})], away, [ended]);
    expect(await waitForRuns({ client, clock }, 1, { limitMs: 9000, signal })).toEqual([ended]);
  });

  it('rejects when no reading succeeded, and at once on a refusal', async () => {
    const { clock } = fakeTime();
    const waiting = waitForRuns({ client: answering(away), clock }, 1, { limitMs: 900, signal });
    await expect(waiting).rejects.toBe(away);
    const refusal = new V6Error('V6_AUTH_FORBIDDEN', 'no right');
    const client = answering(refusal);
    await expect(waitForRuns({ client, clock }, 1, { limitMs: 900, signal })).rejects.toBe(refusal);
  });
});
