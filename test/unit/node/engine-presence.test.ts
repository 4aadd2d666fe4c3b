import { describe, expect, it } from 'vitest';
import { EnginePresence } from '../../../src/node/engine-presence.ts';
import { FakeEngine } from '../../fakes/engine.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

function presence(liveRestore: boolean) {
  const engine = new FakeEngine();
  const said: string[] = [];
  const note = (message: string): void => {
    said.push(message);
  };
  const logger = { debug: note, info: note, warn: note, error: note };
  const clock = new ManualClock();
  const asked = { info: async () => ({ ...(await engine.info()), liveRestore }) };
  return { engine, clock, said, it: new EnginePresence({ engine: asked, clock, logger }) };
}

const step = (journal: string[], name: string) => async (): Promise<void> => {
  journal.push(name);
};

describe('what the daemon knows of its engine', () => {
  it('advises live-restore once where it is off, and shows it', async () => {
    const off = presence(false);
    await off.it.learn();
    expect(off.said).toHaveLength(1);
    expect(off.said[0]).toContain('live-restore');
    expect(off.it.status()).toEqual({ version: '20.10.24', liveRestore: false });
    const on = presence(true);
    await on.it.learn();
    expect(on.said).toEqual([]);
  });

  it.each([
    [true, 'left'],
    [false, 'engine-stopped'],
  ] as const)(
    'with live-restore %s calls a stop without engine %s, and leaves out what needs it',
    async (liveRestore, stop) => {
      const { engine, it: known } = presence(liveRestore);
      await known.learn();
      engine.goAway();
      expect(await known.beginStop()).toBe(stop);
      const journal: string[] = [];
      await known.unlessGone(step(journal, 'undo'));
      await known.unlessGone(step(journal, 'undo'), step(journal, 'let go'));
      expect(journal).toEqual(['let go']);
    },
  );

  it('undoes everything while the engine answers', async () => {
    const { it: known } = presence(false);
    await known.learn();
    expect(await known.beginStop()).toBe('stopped');
    const journal: string[] = [];
    await known.unlessGone(step(journal, 'undo'), step(journal, 'let go'));
    expect(journal).toEqual(['undo']);
  });

  it('takes an engine for gone that says nothing for two seconds, as behind a socket of systemd', async () => {
    const clock = new ManualClock();
    let isSilent = false;
    const engine = {
      info: () => (isSilent ? new Promise<never>(() => undefined) : new FakeEngine().info()),
    };
    const note = () => undefined;
    const logger = { debug: note, info: note, warn: note, error: note };
    const known = new EnginePresence({ engine, clock, logger });
    await known.learn();
    isSilent = true;
    const stop = known.beginStop();
    await clock.turn(2000);
    expect(await stop).toBe('engine-stopped');
  });
});
