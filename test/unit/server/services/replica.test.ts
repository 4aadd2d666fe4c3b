import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import type { ReplicaStore } from '../../../../src/server/interfaces/replica-store.ts';
import type { Store } from '../../../../src/server/interfaces/store.ts';
import { createReplica } from '../../../../src/server/services/replica.ts';
import { ManualClock } from '../../../fakes/manual-clock.ts';
import { recordingLogger } from '../../../support/server-app.ts';

/** A replica on a database that a test takes away. */
function start(others: readonly { id: string; keyMark: string }[] = []) {
  const clock = new ManualClock();
  const { logger, lines } = recordingLogger();
  const did: string[] = [];
  const state = { isAway: false, isKnown: true, silent: 0, others };
  const self = { id: 'me', keyMark: 'key' };
  const replicas: Partial<ReplicaStore> = {
    join: async () => {
      did.push('join');
    },
    beat: async () => {
      if (state.isAway) throw new V6Error('V6_DATABASE', 'away');
      return state.isKnown;
    },
    living: async () => state.others,
  };
  const replica = createReplica({
    store: { isShared: true, replicas } as Store,
    presence: {
      restore: async () => {
        did.push('restore');
      },
      forgetSilent: async () => {
        did.push('forget');
        return state.silent;
      },
    },
    events: { missed: () => did.push('missed') },
    clock,
    logger,
    self,
  });
  return { clock, did, lines, replica, state };
}

const beats = async (clock: ManualClock, times: number): Promise<void> => {
  for (let time = 0; time < times; time += 1) await clock.turn(2000);
};

describe('a replica', () => {
  it('gives others up only after it lived that long itself, and lets its nodes read again then', async () => {
    const { clock, did, replica, state } = start();
    await replica.join();
    state.silent = 1;
    await beats(clock, 4);
    expect(did).toStrictEqual(['join']);
    await beats(clock, 1);
    expect(did).toStrictEqual(['join', 'forget', 'missed']);
    replica.leave();
  });

  it('waits that time again after the database was away, since nobody could say anything', async () => {
    const { clock, did, lines, replica, state } = start();
    await replica.join();
    await beats(clock, 6);
    did.length = 0;
    state.isAway = true;
    await beats(clock, 10);
    expect(did).toStrictEqual([]);
    expect(lines.filter((line) => line.includes('cannot say'))).toHaveLength(1);
    state.isAway = false;
    await beats(clock, 5);
    expect(did).toStrictEqual(['restore']);
    await beats(clock, 1);
    expect(did).toStrictEqual(['restore', 'forget']);
    replica.leave();
  });

  it('brings its nodes back when others had given it up', async () => {
    const { clock, did, replica, state } = start();
    await replica.join();
    state.isKnown = false;
    await beats(clock, 1);
    expect(did).toStrictEqual(['join', 'join', 'restore']);
    replica.leave();
  });

  it('does nothing any more after it left', async () => {
    const { clock, did, replica } = start();
    await replica.join();
    replica.leave();
    await beats(clock, 10);
    expect(did).toStrictEqual(['join']);
  });

  it('does not start beside one that signs with another key, and waits for one that has just ended', async () => {
    const { clock, replica, state } = start([{ id: 'other', keyMark: 'another' }]);
    const checking = replica.check().then(
      () => 'fine',
      (error: unknown) => (error as V6Error).code,
    );
    await beats(clock, 8);
    expect(await checking).toBe('V6_CONFIG_INVALID');
    const again = replica.check();
    await beats(clock, 1);
    state.others = [];
    await beats(clock, 1);
    await again;
  });
});
