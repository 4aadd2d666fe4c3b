import { describe, expect, it } from 'vitest';
import { labelsFor, names } from '../../../../src/core/labels.ts';
import { silentLogger } from '../../../../src/core/logger.ts';
import type { Cidr } from '../../../../src/core/net/ipv4.ts';
import { EngineWatch } from '../../../../src/node/reconcile/engine-watch.ts';
import { slotAt, slotNetwork } from '../../../../src/node/slots/slot-plan.ts';
import { FakeEngine } from '../../../fakes/engine.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';

const owner = { scope: 'user', node: 'alpha' } as const;
const slot = slotAt(owner, '10.205.0.0/24' as Cidr, 0);
const CLIENT = names.vpnClient('alpha', 'user');

async function world() {
  const engine = new FakeEngine({ images: ['v6-vpn:1', 'echo:1'] });
  await engine.networks.ensure(slotNetwork(owner, slot));
  const make = async (name: string, kind: 'vpn-client' | 'algorithm'): Promise<string> => {
    const id = await engine.containers.create({
      name,
      image: kind === 'algorithm' ? 'echo:1' : 'v6-vpn:1',
      labels: labelsFor({ kind, ...owner }),
      networks: [{ name: slot.network }],
      capabilities: [],
    });
    await engine.containers.start(id);
    return id;
  };
  const clientId = await make(CLIENT, 'vpn-client');
  const clock = new ManualClock();
  let isAway = false;
  const deps = {
    engine: {
      containers: engine.containers,
      events: (labels: Readonly<Record<string, string>>, signal: AbortSignal) => {
        if (isAway) throw new Error('away');
        return engine.events(labels, AbortSignal.any([signal, gone.signal]));
      },
    },
    clock,
    logger: silentLogger,
  };
  let gone = new AbortController();
  const life = new AbortController();
  const reasons: string[] = [];
  let isOwn = false;
  const watch = new EngineWatch(deps, owner);
  void watch.run(
    (trigger, urgency) => reasons.push(`${urgency} ${trigger}`),
    () => isOwn,
    life.signal,
  );
  await settled();
  return {
    engine,
    clock,
    watch,
    reasons,
    make,
    clientId,
    ours: (value: boolean) => {
      isOwn = value;
    },
    engineGoes: async () => {
      isAway = true;
      gone.abort(new Error('away'));
      await settled();
    },
    engineComes: () => {
      isAway = false;
      gone = new AbortController();
    },
    end: () => life.abort(new Error('end')),
  };
}

describe('what the engine tells of a node', () => {
  it('is urgent when its network or its VPN client goes, and has time when an algorithm does', async () => {
    const { engine, reasons, make, end, clientId } = await world();
    await make('algorithm', 'algorithm');
    await engine.networks.disconnect(slot.network, 'algorithm');
    await engine.containers.remove('algorithm');
    await engine.networks.disconnect(slot.network, CLIENT);
    engine.pause(CLIENT);
    await engine.networks.remove(slot.network);
    await settled();
    end();
    const short = clientId.slice(0, 12);
    expect(reasons.filter((line) => line.startsWith('now'))).toEqual([
      `now engine event: network disconnect ${slot.network} (container ${short})`,
      `now engine event: container pause ${CLIENT}`,
      `now engine event: network destroy ${slot.network}`,
    ]);
    expect(reasons.filter((line) => line.startsWith('soon')).length).toBeGreaterThan(0);
  });

  it('explains a difference for a while, rather with what others did than with what we did', async () => {
    const { engine, watch, clock, ours, end, clientId } = await world();
    const drift = { what: `slot network ${slot.network}`, found: 'missing', wanted: 'there' };
    await engine.networks.disconnect(slot.network, CLIENT);
    await settled();
    ours(true);
    await engine.networks.connect(slot.network, CLIENT);
    await engine.networks.remove(slot.network);
    await settled();
    const who = `(container ${clientId.slice(0, 12)})`;
    const disconnect = `engine event: network disconnect ${slot.network} ${who}`;
    expect(watch.explain(drift)).toBe(disconnect);
    expect(watch.explain({ ...drift, found: 'connected' })).toContain('network connect');
    expect(watch.explain({ ...drift, what: 'rules' })).toBeUndefined();
    await clock.turn(16_000);
    expect(watch.explain(drift)).toBeUndefined();
    end();
  });

  it('is asked for again while the engine is away, and its return is a reason to look', async () => {
    const { engine, clock, reasons, engineGoes, engineComes, end } = await world();
    await engineGoes();
    for (const ms of [500, 1000, 2000]) await clock.turn(ms);
    expect(reasons).toEqual([]);
    engineComes();
    await clock.turn(5000);
    expect(reasons).toEqual(['now the engine was away']);
    engine.pause(CLIENT);
    await settled();
    expect(reasons.at(-1)).toBe(`now engine event: container pause ${CLIENT}`);
    end();
  });
});
