import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type HeldLease, planQuota } from '../../../../src/server/services/vpn-quota.ts';

const NOW = new Date('2030-06-01T00:00:00Z');
const HOUR = 3_600_000;
const GRACE_MS = 24 * HOUR;

const lease = (nodeId: number): fc.Arbitrary<HeldLease> =>
  fc.record({
    nodeId: fc.constant(nodeId),
    nodeName: fc.constant(`node-${nodeId}`),
    configurations: fc.integer({ min: 0, max: 2 }),
    issuedAt: fc.option(
      fc.date({ min: new Date(+NOW - 90 * GRACE_MS), max: NOW, noInvalidDate: true }),
      {
        nil: undefined,
      },
    ),
    expiresAt: fc.option(
      fc.date({
        min: new Date(+NOW - GRACE_MS),
        max: new Date(+NOW + 90 * GRACE_MS),
        noInvalidDate: true,
      }),
      { nil: undefined },
    ),
    isOnline: fc.boolean(),
    lastSeenAt: fc.option(
      fc.date({ min: new Date(+NOW - 90 * GRACE_MS), max: NOW, noInvalidDate: true }),
    ),
  });

const world = fc.integer({ min: 0, max: 8 }).chain((n) =>
  fc.record({
    leases: fc.tuple(...Array.from({ length: n }, (_, at) => lease(at + 1))),
    limit: fc.integer({ min: 1, max: 10 }),
    nodeId: fc.integer({ min: 1, max: 10 }),
    isInUse: fc.boolean(),
  }),
);

const counts = ({ expiresAt }: HeldLease): boolean => expiresAt === undefined || expiresAt > NOW;
const total = (leases: readonly HeldLease[]): number =>
  leases.filter(counts).reduce((sum, { configurations }) => sum + configurations, 0);

describe('the plan of a quota', () => {
  it('never leads beyond the limit, and never ends what an online node holds', () => {
    fc.assert(
      fc.property(world, ({ leases, limit, nodeId, isInUse }) => {
        const plan = planQuota({ limit, leases, nodeId, now: NOW, graceMs: GRACE_MS, isInUse });
        const used = total(leases);
        const own = total(leases.filter((held) => held.nodeId === nodeId));
        switch (plan.kind) {
          case 'room':
            expect(used + 1).toBeLessThanOrEqual(limit);
            break;
          case 'replace':
            expect(own).toBeGreaterThan(0);
            // Its own one ends first: one goes, one comes.
            expect(used).toBeLessThanOrEqual(limit);
            break;
          case 'reclaim':
            expect(used - plan.from.configurations + 1).toBeLessThanOrEqual(limit);
            expect(plan.from.isOnline).toBe(false);
            expect(plan.from.nodeId).not.toBe(nodeId);
            expect(+NOW - +(plan.from.lastSeenAt ?? 0)).toBeGreaterThan(GRACE_MS);
            expect(+NOW - +(plan.from.issuedAt ?? 0)).toBeGreaterThan(GRACE_MS);
            break;
          case 'busy':
            expect(isInUse && own > 0).toBe(true);
            break;
          case 'full':
            expect(used).toBeGreaterThanOrEqual(limit);
        }
      }),
    );
  });

  it('always has room without a limit', () => {
    fc.assert(
      fc.property(world, ({ leases, nodeId, isInUse }) => {
        const input = { limit: undefined, leases, nodeId, now: NOW, graceMs: GRACE_MS, isInUse };
        expect(planQuota(input).kind).toBe('room');
      }),
    );
  });

  it('has nothing to replace for a node that holds nothing any more', () => {
    const lease = (nodeId: number, configurations: number): HeldLease => ({
      nodeId,
      nodeName: `node-${nodeId}`,
      configurations,
      issuedAt: NOW,
      expiresAt: undefined,
      isOnline: true,
      lastSeenAt: NOW,
    });
    const leases = [lease(1, 0), lease(2, 1), lease(3, 1), lease(4, 1)];
    const input = { limit: 3, leases, nodeId: 1, now: NOW, graceMs: GRACE_MS, isInUse: false };
    expect(planQuota(input).kind).toBe('full');
  });

  it('takes from who has been away the longest', () => {
    const away = (nodeId: number, days: number): HeldLease => ({
      nodeId,
      nodeName: `node-${nodeId}`,
      configurations: 1,
      issuedAt: undefined,
      expiresAt: undefined,
      isOnline: false,
      lastSeenAt: new Date(+NOW - days * 24 * HOUR),
    });
    const plan = planQuota({
      limit: 3,
      leases: [away(1, 2), away(2, 9), away(3, 5)],
      nodeId: 4,
      now: NOW,
      graceMs: GRACE_MS,
      isInUse: false,
    });
    expect(plan).toMatchObject({ kind: 'reclaim', from: { nodeId: 2 } });
  });
});
