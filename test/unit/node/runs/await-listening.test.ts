import { describe, expect, it } from 'vitest';
import type { ContainerState } from '../../../../src/core/engine/engine.ts';
import { V6Error } from '../../../../src/core/errors.ts';
import { silentLogger } from '../../../../src/core/logger.ts';
import { awaitListening } from '../../../../src/node/runs/await-listening.ts';
import type { RunDeps } from '../../../../src/node/runs/run-deps.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';

const PORTS = [
  { protocol: 'tcp', port: 8888 },
  { protocol: 'udp', port: 8889 },
] as const;

/** A wait whose outcome can be looked at while it lasts. */
function start(listening: { now: ReadonlySet<string> | undefined }, pid = 41) {
  const clock = new ManualClock();
  const stop = new AbortController();
  const find = async () => ({ pid }) as ContainerState;
  const engine = { containers: { find } } as unknown as RunDeps['engine'];
  const host = { listeningPorts: async () => listening.now };
  const outcome = { is: 'waiting' };
  const wait = awaitListening(
    { engine, host, clock, logger: silentLogger },
    'c',
    PORTS,
    stop.signal,
  ).then(
    () => {
      outcome.is = 'over';
    },
    () => {
      outcome.is = 'aborted';
    },
  );
  return { clock, stop, outcome, wait };
}

describe('the wait for the ports of an algorithm', () => {
  it('ends as soon as all of them listen', async () => {
    const listening = { now: new Set(['tcp/8888']) as ReadonlySet<string> };
    const { clock, outcome, wait } = start(listening);
    await settled();
    await clock.turn(100);
    expect(outcome.is).toBe('waiting');
    listening.now = new Set(['tcp/8888', 'udp/8889', 'tcp/22']);
    await clock.turn(250);
    await wait;
    expect(outcome.is).toBe('over');
  });

  it('does not take the port of another protocol for it', async () => {
    const { clock, outcome } = start({ now: new Set(['tcp/8888', 'tcp/8889', 'udp/8888']) });
    await settled();
    await clock.turn(5000);
    expect(outcome.is).toBe('waiting');
  });

  it('ends after ten seconds for an algorithm that never listens', async () => {
    const { clock, outcome, wait } = start({ now: new Set() });
    await settled();
    for (let at = 0; at < 9_500; at += 250) await clock.turn(250);
    expect(outcome.is).toBe('waiting');
    for (let at = 0; at < 1000; at += 250) await clock.turn(250);
    await wait;
    expect(outcome.is).toBe('over');
  });

  it('ends with the algorithm, and at once for one that has ended', async () => {
    const listening: { now: ReadonlySet<string> | undefined } = { now: new Set() };
    const { clock, wait } = start(listening);
    await settled();
    listening.now = undefined;
    await clock.turn(250);
    await wait;
    await start({ now: new Set() }, 0).wait;
  });

  it('ends at once where the host does not let us look', async () => {
    const listening = {
      get now(): ReadonlySet<string> {
        throw new V6Error('V6_NET_PRIVILEGE', 'no');
      },
    };
    const { outcome, wait } = start(listening);
    await wait;
    expect(outcome.is).toBe('over');
  });

  it('ends when the run is stopped', async () => {
    const { stop, outcome, wait } = start({ now: new Set() });
    await settled();
    stop.abort(new Error('stopped'));
    await wait;
    expect(outcome.is).toBe('aborted');
  });
});
