import { beforeEach, describe, expect, it } from 'vitest';
import type { LineStream } from '../../../../src/core/engine/engine.ts';
import { monitorClient } from '../../../../src/node/vpn-client/client-monitor.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';

describe('the monitor of the VPN client', () => {
  let clock: ManualClock;
  let life: AbortController;
  let asked: string[];
  let isChanging: boolean;
  let opened: { say(line: string): void; end(): void }[];
  let isAway: boolean;

  beforeEach(() => {
    clock = new ManualClock();
    life = new AbortController();
    asked = [];
    opened = [];
    isChanging = false;
    isAway = false;
    const openStream = async (): Promise<LineStream> => {
      if (isAway) throw new Error('no such container');
      const { readable, writable } = new TransformStream<string, string>();
      const writer = writable.getWriter();
      const end = (): void => void writer.close().catch(() => undefined);
      opened.push({ say: (line) => void writer.write(line), end });
      return { write: () => undefined, lines: readable, close: end };
    };
    void monitorClient({
      engine: { containers: { openStream } } as never,
      clock,
      container: { name: 'client' },
      signal: life.signal,
      isChanging: () => isChanging,
      onChange: (_hint, urgency) => asked.push(urgency),
    });
    return () => life.abort(new Error('over'));
  });

  it('asks for a look at once when something changes that nobody of us does', async () => {
    await settled();
    opened[0]?.say('delete table inet v6client');
    await settled();
    expect(asked).toEqual(['now']);
  });

  it('lets changes of our own, and a client that talks without end, wait', async () => {
    await settled();
    isChanging = true;
    opened[0]?.say('add element inet v6client ports { tcp . 49152 : 10.0.0.3 . 8888 }');
    opened[0]?.say('# new generation 7 by process 9 (nft)');
    await settled();
    isChanging = false;
    await clock.turn(600);
    for (const line of ['a', 'b', 'c']) opened[0]?.say(line);
    await settled();
    expect(asked).toEqual(['soon', 'now', 'soon', 'soon']);
  });

  it('listens again when the container was away', async () => {
    await settled();
    isAway = true;
    opened[0]?.end();
    await settled();
    await clock.turn(1000);
    isAway = false;
    await clock.turn(1000);
    await settled();
    opened[1]?.say('Deleted 10.0.0.0/29 dev eth1');
    await settled();
    expect(asked).toEqual(['now']);
  });

  it('leaves no stream open that was being opened when it ended', async () => {
    const ending = new AbortController();
    const opening = Promise.withResolvers<LineStream>();
    let isClosed = false;
    void monitorClient({
      engine: { containers: { openStream: () => opening.promise } } as never,
      clock,
      container: { name: 'client' },
      signal: ending.signal,
      isChanging: () => false,
      onChange: () => undefined,
    });
    ending.abort(new Error('over'));
    const { readable } = new TransformStream<string, string>();
    const close = (): void => {
      isClosed = true;
    };
    opening.resolve({ write: () => undefined, lines: readable, close });
    await settled();
    expect(isClosed).toBe(true);
  });
});
