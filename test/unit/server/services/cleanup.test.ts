import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createRender, renderDate } from '../../../../src/server/http/render.ts';
import { cleanUp, cleanUpHourly } from '../../../../src/server/services/cleanup.ts';
import { createTask, createWorld, INPUT, runOf } from '../../../support/server-app.ts';

const DAY_MS = 24 * 3_600_000;

/** A run that was completed, one that failed, and one that is open, all of them forty days ago. */
async function start() {
  const world = await createWorld();
  const done = await createTask(world);
  const open = await createTask(world);
  const [completed, failed] = [
    await runOf(world, done, world.north),
    await runOf(world, done, world.south),
  ];
  const at = world.clock.now();
  await world.store.runs.update(completed, { status: 'completed', finishedAt: at, result: 'b2s=' });
  await world.store.runs.update(failed, {
    status: 'crashed',
    finishedAt: at,
    result: 'cGFydA==',
    log: 'a line',
  });
  await world.clock.turn(40 * DAY_MS);
  return { world, completed, failed, open: await runOf(world, open, world.north) };
}

describe('the clean-up of old runs', () => {
  it('blanks results of runs that ended well or not, notes when, and keeps logs and inputs', async () => {
    const { world, completed, failed, open } = await start();
    expect(await cleanUp({ ...world, settings: { days: 30, includesInput: false } })).toBe(2);
    const run = await world.store.runs.find(completed);
    expect(run && createRender('/api').result(run)).toMatchObject({
      result: '',
      cleanup_at: renderDate(world.clock.now()),
    });
    expect(await world.store.runs.find(failed)).toMatchObject({
      result: '',
      log: 'a line',
      input: INPUT,
    });
    expect(await world.store.runs.find(open)).toMatchObject({ cleanupAt: null, input: INPUT });
    await world.close();
  });

  it('blanks inputs too when it is told so, and spares what is younger', async () => {
    const { world, completed } = await start();
    expect(await cleanUp({ ...world, settings: { days: 50, includesInput: true } })).toBe(0);
    await world.clock.turn(DAY_MS * 20);
    expect(await cleanUp({ ...world, settings: { days: 50, includesInput: true } })).toBe(2);
    expect(await world.store.runs.find(completed)).toMatchObject({ result: '', input: '' });
    await world.close();
  });

  it('is done by one replica in an hour', async () => {
    const { world } = await start();
    const settings = { days: 30, includesInput: false };
    expect(await cleanUp({ ...world, settings })).toBe(2);
    expect(await cleanUp({ ...world, settings })).toBeUndefined();
    await world.clock.turn(3_600_000);
    expect(await cleanUp({ ...world, settings })).toBe(0);
    await world.close();
  });

  it('comes every hour until the server stops', async () => {
    const { world, completed } = await start();
    const stop = new AbortController();
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const settings = { days: 41, includesInput: false };
    const running = cleanUpHourly({ ...world, logger, settings }, stop.signal);
    for (let hour = 0; hour < 26; hour += 1) {
      await turn();
      await world.clock.turn(3_600_000);
    }
    await turn();
    expect((await world.store.runs.find(completed))?.result).toBe('');
    stop.abort();
    await running;
    await world.close();
  });
});
