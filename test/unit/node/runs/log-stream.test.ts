import { beforeEach, describe, expect, it } from 'vitest';
import type { Containers } from '../../../../src/core/engine/engine.ts';
import { silentLogger } from '../../../../src/core/logger.ts';
import { LogStream } from '../../../../src/node/runs/log-stream.ts';
import { FakeCoordinator, type HeldRun } from '../../../fakes/coordinator.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';

/** The log of one container, written by the test; every reader begins at its start. */
class Output {
  text = '';
  #wake: (() => void)[] = [];
  write(text: string): void {
    this.text += text;
    for (const wake of this.#wake.splice(0)) wake();
  }
  /** The engine's streams break off. */
  break(): void {
    this.#isBroken = true;
    for (const wake of this.#wake.splice(0)) wake();
    this.#isBroken = false;
  }
  #isBroken = false;
  async *follow(signal: AbortSignal): AsyncIterable<string> {
    for (let at = 0; !signal.aborted; ) {
      if (at < this.text.length) {
        const piece = this.text.slice(at);
        at = this.text.length;
        yield piece;
        continue;
      }
      let isBroken = false;
      await new Promise<void>((resolve) => {
        this.#wake.push(() => {
          isBroken = this.#isBroken;
          resolve();
        });
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      if (isBroken) return;
    }
  }
}

let coordinator: FakeCoordinator;
let clock: ManualClock;
let output: Output;
let run: HeldRun;
beforeEach(() => {
  coordinator = new FakeCoordinator();
  clock = new ManualClock();
  output = new Output();
  run = coordinator.add({ image: 'echo:1' });
});

function stream(more: { head?: string; isContinued?: boolean } = {}): LogStream {
  const { identity, events, runs } = coordinator;
  const followLogs: Containers['followLogs'] = (_id, signal) => output.follow(signal);
  const engine = { containers: { followLogs } } as unknown as ConstructorParameters<
    typeof LogStream
  >[0]['engine'];
  const { head = '', isContinued = false } = more;
  const made = new LogStream(
    { engine, events, runs, identity, clock, logger: silentLogger },
    { run: run.id, task: run.task.id, container: 'c', token: 'secret-token', head, isContinued },
  );
  made.start();
  return made;
}

const pass = async (ms = 500) => {
  await settled();
  await clock.turn(ms);
  await settled();
};
const patches = () => coordinator.journal.filter((call) => call.startsWith('patch')).length;

describe('the log of an algorithm that runs', () => {
  it('reaches the server line by line, batched, without secrets', async () => {
    run.log = 'note';
    const live = stream({ head: 'note' });
    output.write('one\ntwo secret-token\nthr');
    await pass();
    expect(run.log).toBe('note\none\ntwo [token]');
    output.write('ee\nfour\n');
    await pass();
    await pass();
    expect(run.log).toBe('note\none\ntwo [token]\nthree\nfour');
    expect(coordinator.streamed).toHaveLength(2);
    expect(coordinator.streamed[0]).toMatchObject({ run_id: run.id, collaboration_id: 1 });
    expect(patches()).toBe(0);
    await live.stop();
    output.write('five\n');
    await pass();
    expect(coordinator.streamed).toHaveLength(2);
  });

  it.each([
    ['arrived', true],
    ['was lost', false],
  ])(
    'neither loses nor doubles a line when the socket was away and the last message %s',
    async (_what, arrived) => {
      const live = stream();
      output.write('one\n');
      await pass();
      output.write('two\n');
      await pass();
      if (!arrived) run.log = 'one';
      coordinator.isConnected = false;
      output.write('three\n');
      await pass();
      expect(run.log).not.toContain('three');
      coordinator.isConnected = true;
      coordinator.connection += 1;
      await pass();
      expect(run.log).toBe('one\ntwo\nthree');
      output.write('four\n');
      await pass();
      expect(run.log).toBe('one\ntwo\nthree\nfour');
      expect(patches()).toBe(1);
      await live.stop();
    },
  );

  it('is mended as a whole after a restart of the daemon, and when the engine cut the stream', async () => {
    run.log = 'one\ntwo';
    const live = stream({ isContinued: true });
    output.write('one\ntwo\nthree\n');
    await pass();
    expect(run.log).toBe('one\ntwo\nthree');
    output.break();
    await pass(2000);
    output.write('four\n');
    await pass(10_000);
    await pass();
    expect(run.log).toBe('one\ntwo\nthree\nfour');
    await live.stop();
  });

  it('tries again when the server does not take the whole log', async () => {
    const live = stream({ isContinued: true });
    output.write('one\n');
    coordinator.isAway = true;
    await pass();
    expect(run.log).toBeNull();
    coordinator.isAway = false;
    await pass(10_000);
    expect(run.log).toBe('one');
    await live.stop();
  });

  it('is bounded: 16 kB per half second, and the whole log at once when more than that piles up', async () => {
    const live = stream();
    const lines = (count: number) => `${'x'.repeat(99)}\n`.repeat(count);
    output.write(lines(1000));
    await pass();
    await pass();
    expect(coordinator.streamed.map(({ log }) => log.length)).toEqual([16_299, 16_299]);
    output.write(lines(3000));
    await pass();
    expect(coordinator.streamed).toHaveLength(2);
    expect(patches()).toBe(1);
    expect(run.log?.length).toBe(4000 * 100 - 1);
    output.write(lines(20_000));
    await pass(10_000);
    expect(run.log?.length).toBeLessThanOrEqual(1024 * 1024);
    await live.stop();
  });
});
