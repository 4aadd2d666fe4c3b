import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { labelsFor, names } from '../../../../src/core/labels.ts';
import { silentLogger } from '../../../../src/core/logger.ts';
import { parseCidr } from '../../../../src/core/net/ipv4.ts';
import { slotAt, slotCapacity, slotNetwork } from '../../../../src/node/slots/slot-plan.ts';
import { SlotPool, SURPLUS_IDLE_MS } from '../../../../src/node/slots/slot-pool.ts';
import { FakeEngine } from '../../../fakes/engine.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';
import { FakeProxy } from '../../../fakes/node-world.ts';
import { FakeVpnClient } from '../../../fakes/vpn-client.ts';

const range = parseCidr('10.205.0.0/27', 'range');
const owner = { scope: 'user', node: 'alpha' } as const;

const makePool = (spare = 1, engine = new FakeEngine({ images: ['echo:1'] })) => {
  const vpn = new FakeVpnClient();
  const proxy = new FakeProxy();
  const clock = new ManualClock();
  const damages: string[] = [];
  const host: { links: ReadonlySet<string> | undefined } = { links: undefined };
  const deps = {
    networks: vpn.seenIn(engine.networks),
    containers: engine.containers,
    vpn,
    listeners: proxy,
    clock,
    logger: silentLogger,
    hostLinks: async () => host.links,
    onDamage: (what: string) => damages.push(what),
  };
  const pool = new SlotPool(deps, { ...owner, range, spare });
  const prepare = async (busy: ReadonlyMap<number, number> = new Map()) => {
    const slots = await pool.prepare(busy);
    await vpn.start(slots);
    return slots;
  };
  /** Starts the algorithm of a run, as a run does. */
  const startRun = async (run: number) => {
    const slot = await pool.acquire(run);
    const id = await engine.containers.create({
      name: names.algorithm('alpha', run),
      image: 'echo:1',
      labels: labelsFor({ kind: 'algorithm', ...owner, run }),
      networks: [{ name: slot.network, address: slot.algorithm }],
      capabilities: [],
    });
    await engine.containers.start(id);
    return { slot, name: names.algorithm('alpha', run) };
  };
  return { engine, vpn, proxy, clock, pool, prepare, startRun, damages, host };
};

describe('a slot', () => {
  it('has its gateway, VPN client and algorithm on fixed places of a /29', () => {
    expect(slotAt(owner, range, 1)).toMatchObject({
      network: 'v6z-user-alpha-1',
      subnet: '10.205.0.8/29',
      gateway: '10.205.0.9',
      client: '10.205.0.10',
      algorithm: '10.205.0.11',
    });
    expect(slotCapacity(range)).toBe(4);
    expect(slotAt(owner, range, 1).bridge).toMatch(/^v6z[0-9a-f]{11}$/);
  });
});

describe('the pool', () => {
  it('makes the spare ones ahead, and another as soon as one is taken', async () => {
    const { pool, engine, vpn, prepare } = makePool();
    expect((await prepare()).map(({ index }) => index)).toEqual([0]);
    expect((await pool.acquire(41)).index).toBe(0);
    await settled();
    expect(engine.held().networks).toEqual(['v6z-user-alpha-0', 'v6z-user-alpha-1']);
    expect([...vpn.slots.keys()]).toEqual([0, 1]);
  });

  it('gives runs that come at once a slot each, and fails with its code when the range is full', async () => {
    const { pool, prepare } = makePool();
    await prepare();
    const slots = await Promise.all([1, 2, 3, 4].map((run) => pool.acquire(run)));
    expect(new Set(slots.map(({ index }) => index)).size).toBe(4);
    await expect(pool.acquire(5)).rejects.toMatchObject({ code: 'V6_SLOTS_EXHAUSTED' });
    pool.release(2);
    expect((await pool.acquire(5)).index).toBe(slots[1]?.index);
  });

  it('leaves out a slot whose subnet somebody else uses', async () => {
    const { pool, engine } = makePool(2);
    const other = slotNetwork({ scope: 'user', node: 'other' }, slotAt(owner, range, 0));
    await engine.networks.ensure({ ...other, name: 'stranger', labels: {} });
    expect((await pool.prepare(new Map())).map(({ index }) => index)).toEqual([1, 2]);
  });

  it('takes over the slots of living runs, and removes what an earlier daemon left', async () => {
    const first = makePool(3);
    await first.pool.prepare(new Map());
    const { pool, engine } = makePool(1, first.engine);
    const slots = await pool.prepare(new Map([[1, 41]]));
    expect(new Set(slots.map(({ index }) => index))).toEqual(new Set([0, 1]));
    expect((await pool.acquire(41)).index).toBe(1);
    expect((await pool.acquire(42)).index).toBe(0);
    await settled();
    expect(engine.held().networks).toContain('v6z-user-alpha-0');
  });

  it('leaves nothing of a slot that could not be attached, and tries again', async () => {
    const { pool, engine, vpn, clock, proxy, prepare } = makePool();
    await prepare();
    vpn.failNext('attachSlot', 'V6_ENGINE_REQUEST');
    await pool.acquire(1);
    await settled();
    expect(engine.held().networks).toEqual(['v6z-user-alpha-0']);
    expect([...proxy.open_]).toEqual([0]);
    await clock.turn(5000);
    expect(engine.held().networks).toEqual(['v6z-user-alpha-0', 'v6z-user-alpha-1']);
  });

  it('cleans a slot before another run gets it, and keeps one back that cannot be cleaned', async () => {
    const { pool, vpn, prepare } = makePool(1);
    await prepare();
    await pool.acquire(1);
    await settled();
    vpn.failNext('cleanSlot', 'V6_VPN_CLIENT_FAILED');
    pool.release(1);
    await settled();
    expect((await pool.acquire(2)).index).toBe(1);
    expect(vpn.journal).toEqual([]);
    await pool.reconcile();
    expect(vpn.journal).toEqual(['clean 0']);
    expect((await pool.acquire(3)).index).toBe(0);
  });

  it('takes down what was idle for long, never a slot in use and never the spare ones', async () => {
    const { pool, engine, vpn, clock, prepare, startRun, proxy } = makePool(1);
    await prepare();
    for (const run of [1, 2, 3]) await startRun(run);
    await settled();
    for (const run of [1, 2]) {
      await engine.containers.remove(names.algorithm('alpha', run));
      pool.release(run);
    }
    await settled();
    await clock.turn(SURPLUS_IDLE_MS - 1000);
    await pool.reconcile();
    expect(engine.held().networks).toHaveLength(4);
    await clock.turn(1000);
    expect(await pool.reconcile()).toEqual([]);
    expect(pool.uses()).toMatchObject([
      { slot: { index: 0 }, run: null },
      { slot: { index: 2 }, run: 3 },
    ]);
    expect(engine.held().networks).toEqual(['v6z-user-alpha-0', 'v6z-user-alpha-2']);
    expect([...vpn.slots.keys()]).toEqual([0, 2]);
    expect([...proxy.open_]).toEqual([0, 2]);
  });

  it('passes a spare slot over whose network was pruned, and mends it with the next check', async () => {
    const { pool, engine, prepare, damages } = makePool(2);
    await prepare();
    await engine.networks.remove('v6z-user-alpha-0');
    expect((await pool.acquire(1)).index).toBe(1);
    expect(damages).toEqual(['spare slot v6z-user-alpha-0']);
    expect(await pool.reconcile()).toEqual([
      { what: 'slot network v6z-user-alpha-0', found: 'missing', wanted: '10.205.0.0/29' },
    ]);
    expect(await pool.reconcile()).toEqual([]);
    expect((await pool.acquire(2)).index).toBe(0);
  });

  it('mends a spare slot at once when there is no other', async () => {
    const { pool, engine, vpn, prepare } = makePool(1);
    const [spare] = await prepare();
    await engine.networks.remove('v6z-user-alpha-0');
    vpn.slots.clear();
    expect(await pool.acquire(1)).toEqual(spare);
    expect([...vpn.slots.keys()]).toEqual([0]);
    expect(engine.held().networks).toContain('v6z-user-alpha-0');
  });

  it('gives no run a slot that another took while it mended a damaged one', async () => {
    const { pool, engine, vpn, prepare } = makePool(2);
    const [, second] = await prepare();
    if (second === undefined) throw new Error('too few slots');
    for (const index of [0, 1]) await engine.networks.remove(`v6z-user-alpha-${index}`);
    const attach = vpn.attachSlot.bind(vpn);
    const attaching = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    vpn.attachSlot = async () => {
      vpn.attachSlot = attach;
      attaching.resolve();
      await goOn.promise;
      throw new V6Error('V6_ENGINE_REQUEST', 'told to fail');
    };
    const slow = pool.acquire(1);
    await attaching.promise;
    await engine.networks.ensure(slotNetwork(owner, second));
    expect(await pool.acquire(2)).toEqual(second);
    goOn.resolve();
    expect((await slow).index).toBe(2);
    expect(pool.uses()).toContainEqual({ slot: second, run: 2 });
  });

  it('gives a running algorithm its network and its address back', async () => {
    const { pool, engine, prepare, startRun } = makePool(1);
    await prepare();
    const { slot, name } = await startRun(7);
    await settled();
    await engine.networks.disconnect(slot.network, name);
    const told = { what: `algorithm ${name} in the slot network ${slot.network}` };
    expect(await pool.reconcile()).toEqual([
      { ...told, found: 'not connected', wanted: slot.algorithm },
    ]);
    await engine.networks.disconnect(slot.network, name);
    await engine.networks.connect(slot.network, name);
    expect(await pool.reconcile()).toMatchObject([{ ...told, wanted: slot.algorithm }]);
    await engine.networks.remove(slot.network);
    expect(await pool.reconcile()).toMatchObject([{ found: 'missing' }, told]);
    expect((await engine.networks.find(slot.network))?.containers).toEqual({
      [name]: slot.algorithm,
    });
    expect(pool.uses()).toContainEqual({ slot, run: 7 });
    expect(await pool.reconcile()).toEqual([]);
  });

  it('makes a network again whose bridge somebody deleted, with its algorithm in it', async () => {
    const { pool, engine, prepare, startRun, host } = makePool(0);
    await prepare();
    const { slot, name } = await startRun(7);
    const before = await engine.networks.find(slot.network);
    host.links = new Set(['lo', slot.bridge]);
    expect(await pool.reconcile()).toEqual([]);
    host.links = new Set(['lo']);
    expect(await pool.reconcile()).toMatchObject([
      {
        what: `slot network ${slot.network}`,
        found: `without its bridge ${slot.bridge}`,
        wanted: slot.subnet,
      },
      { what: `algorithm ${name} in the slot network ${slot.network}` },
    ]);
    const after = await engine.networks.find(slot.network);
    expect(after?.id).not.toBe(before?.id);
    expect(after?.containers).toMatchObject({ [name]: slot.algorithm });
  });

  it('puts a stranger out of a slot', async () => {
    const { pool, engine, prepare, startRun } = makePool(1);
    await prepare();
    const { slot } = await startRun(7);
    const id = await engine.containers.create({
      name: 'stranger',
      image: 'echo:1',
      labels: {},
      networks: [{ name: slot.network }],
      capabilities: [],
    });
    await engine.containers.start(id);
    expect(await pool.reconcile()).toMatchObject([
      { what: `container stranger in the slot network ${slot.network}`, wanted: 'not connected' },
    ]);
    expect(Object.keys((await engine.networks.find(slot.network))?.containers ?? {})).toEqual([
      names.algorithm('alpha', 7),
    ]);
  });

  it('tells a repair that failed, and makes a network again that has other settings', async () => {
    const { pool, engine, prepare } = makePool(1);
    const [slot] = await prepare();
    if (slot === undefined) throw new Error('no slot');
    await engine.networks.remove(slot.network);
    engine.failAt('networks.ensure', 1, 'V6_ENGINE_REQUEST');
    expect(await pool.reconcile()).toMatchObject([{ failure: { code: 'V6_ENGINE_REQUEST' } }]);
    await engine.networks.ensure({ ...slotNetwork(owner, slot), bridge: 'other' });
    const [told] = await pool.reconcile();
    expect(told).toMatchObject({ found: expect.stringContaining('other settings') as string });
    expect((await engine.networks.find(slot.network))?.bridge).toBe(slot.bridge);
  });

  it('removes all of them at the end, and goes on after a failure', async () => {
    const { pool, engine, proxy } = makePool(3);
    await pool.prepare(new Map());
    engine.failAt('networks.remove', 1, 'V6_ENGINE_REQUEST');
    await expect(pool.close()).rejects.toMatchObject({ code: 'V6_ENGINE_REQUEST' });
    expect(engine.held().networks).toHaveLength(1);
    await pool.close();
    expect(engine.held().networks).toEqual([]);
    expect([...proxy.open_]).toEqual([]);
  });
});
