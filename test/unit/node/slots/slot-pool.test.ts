import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../../src/core/logger.ts';
import { parseCidr } from '../../../../src/core/net/ipv4.ts';
import { slotAt, slotCapacity, slotNetwork } from '../../../../src/node/slots/slot-plan.ts';
import { SlotPool } from '../../../../src/node/slots/slot-pool.ts';
import { FakeEngine } from '../../../fakes/engine.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';
import { FakeProxy } from '../../../fakes/node-world.ts';
import { FakeVpnClient } from '../../../fakes/vpn-client.ts';

const range = parseCidr('10.205.0.0/27', 'range');
const owner = { scope: 'user', node: 'alpha' } as const;

const makePool = (spare = 1, engine = new FakeEngine()) => {
  const vpn = new FakeVpnClient();
  const proxy = new FakeProxy();
  const clock = new ManualClock();
  const deps = { networks: engine.networks, vpn, listeners: proxy, clock, logger: silentLogger };
  return { engine, vpn, proxy, clock, pool: new SlotPool(deps, { ...owner, range, spare }) };
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
    const { pool, engine, vpn } = makePool();
    expect((await pool.prepare(new Map())).map(({ index }) => index)).toEqual([0]);
    expect((await pool.acquire(41)).index).toBe(0);
    await settled();
    expect(engine.held().networks).toEqual(['v6z-user-alpha-0', 'v6z-user-alpha-1']);
    expect([...vpn.slots.keys()]).toEqual([1]);
  });

  it('gives runs that come at once a slot each, and fails with its code when the range is full', async () => {
    const { pool } = makePool();
    await pool.prepare(new Map());
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
    const { pool, engine, vpn, clock, proxy } = makePool();
    await pool.prepare(new Map());
    vpn.failNext('attachSlot', 'V6_ENGINE_REQUEST');
    await pool.acquire(1);
    await settled();
    expect(engine.held().networks).toEqual(['v6z-user-alpha-0']);
    expect([...proxy.open_]).toEqual([0]);
    await clock.turn(5000);
    expect(engine.held().networks).toEqual(['v6z-user-alpha-0', 'v6z-user-alpha-1']);
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
