import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Cidr, containsAddress, numberToIpv4, overlaps } from '../../../src/core/net/ipv4.ts';
import {
  MAX_DEMO_NODES,
  parsePlan,
  planConflicts,
  planDemo,
  uplinkPool,
} from '../../../src/demo/plan.ts';

const cidr = fc
  .tuple(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 12, max: 30 }))
  .map(
    ([value, prefix]) => `${numberToIpv4(value - (value % 2 ** (32 - prefix)))}/${prefix}` as Cidr,
  );

describe('plan of a demo', () => {
  it('never takes a network that somebody else has, nor the same one twice', () => {
    fc.assert(
      fc.property(fc.array(cidr, { maxLength: 12 }), (taken) => {
        const plan = planDemo({ nodes: 3, taken, serverPort: 7601 });
        const own = [plan.uplink, plan.vpnSubnet, plan.isolated];
        expect(planConflicts(plan, taken)).toEqual([]);
        own.forEach((a, i) => own.slice(i + 1).forEach((b) => expect(overlaps(a, b)).toBe(false)));
      }),
    );
  });

  it('gives every node a range of its own, and fixed addresses that no other container can get', () => {
    const plan = planDemo({ nodes: MAX_DEMO_NODES, taken: [], serverPort: 7601 });
    expect(new Set(plan.nodes.map((node) => node.isolatedRange)).size).toBe(MAX_DEMO_NODES);
    const fixed = [plan.portalAddress, plan.vpnServerAddress, plan.serverAddress];
    expect(new Set(fixed).size).toBe(3);
    for (const address of fixed) {
      expect(containsAddress(plan.uplink, address)).toBe(true);
      expect(containsAddress(uplinkPool(plan), address)).toBe(false);
    }
  });

  it('keeps all addresses when only the number of nodes changes', () => {
    const before = planDemo({ nodes: 3, taken: [], serverPort: 7611 });
    const after = planDemo({ nodes: 5, taken: [before.uplink], serverPort: 1, previous: before });
    expect(after).toEqual({ ...before, nodes: after.nodes });
    expect(after.nodes.slice(0, 3)).toEqual(before.nodes);
  });

  it.each([0, -1, 1.5, Number.NaN, MAX_DEMO_NODES + 1])('refuses %j nodes', (nodes) => {
    expect(() => planDemo({ nodes, taken: [], serverPort: 7601 })).toThrow(
      expect.objectContaining({ code: 'V6_USAGE' }),
    );
  });

  it('reads back what it stored and nothing else', () => {
    const plan = planDemo({ nodes: 2, taken: [], serverPort: 7601 });
    expect(parsePlan(JSON.stringify(plan))).toEqual(plan);
    for (const text of ['', '{', 'null', '{"version":2}', '[]'])
      expect(parsePlan(text)).toBeUndefined();
  });
});
