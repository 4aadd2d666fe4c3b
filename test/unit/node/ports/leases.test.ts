import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isV6Error } from '../../../../src/core/errors.ts';
import { PortLeases } from '../../../../src/node/ports/leases.ts';

const wish = (port: number, protocol: 'tcp' | 'udp' = 'tcp') => ({ protocol, port, label: null });

describe('tunnel ports', () => {
  it('hands out the whole range, its last port included, and then fails the run with its code', () => {
    const leases = new PortLeases({ first: 49152, last: 49154 });
    const ports = leases.take(1, [wish(1), wish(2), wish(3)]).map(({ tunnelPort }) => tunnelPort);
    expect(ports).toEqual([49152, 49153, 49154]);
    expect(() => leases.take(2, [wish(1)])).toThrow(/No free tcp port between 49152 and 49154/);
    expect(leases.take(2, [wish(1, 'udp')])).toHaveLength(1);
  });

  it('takes nothing when it cannot give all', () => {
    const leases = new PortLeases({ first: 1, last: 2 });
    expect(() => leases.take(1, [wish(1), wish(2), wish(3)])).toThrow();
    expect(leases.held()).toEqual([]);
  });

  it('hands a port out again only after all the others', () => {
    const leases = new PortLeases({ first: 1, last: 3 });
    leases.take(1, [wish(1)]);
    leases.release(1);
    expect(leases.take(2, [wish(1), wish(2)]).map((lease) => lease.tunnelPort)).toEqual([2, 3]);
    expect(leases.take(3, [wish(1)])[0]?.tunnelPort).toBe(1);
  });

  it('refuses to adopt what another run holds, and then changes nothing', () => {
    const leases = new PortLeases();
    const [held] = leases.take(1, [wish(80)]);
    if (held === undefined) throw new Error('nothing was leased');
    const wanted = [{ ...wish(80), tunnelPort: 60_000 }, held];
    expect(() => leases.adopt(2, wanted)).toThrow(/held by run 1/);
    expect(leases.held()).toHaveLength(1);
    leases.adopt(1, [held]);
    leases.release(1);
    leases.adopt(2, wanted);
    expect(leases.held()).toHaveLength(2);
  });

  it('never gives one port to two runs, and loses none', () => {
    const step = fc.oneof(
      fc.record({
        take: fc.array(
          fc.record({
            protocol: fc.constantFrom('tcp' as const, 'udp' as const),
            port: fc.integer({ min: 1, max: 65_535 }),
            label: fc.constant(null),
          }),
          { minLength: 1, maxLength: 5 },
        ),
      }),
      fc.record({ release: fc.nat(30) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const leases = new PortLeases({ first: 100, last: 115 });
        const model = new Map<string, number>();
        steps.forEach((entry, run) => {
          if ('release' in entry) {
            leases.release(entry.release);
            for (const [key, owner] of model) if (owner === entry.release) model.delete(key);
            return;
          }
          try {
            for (const { protocol, tunnelPort } of leases.take(run, entry.take)) {
              const key = `${protocol} ${tunnelPort}`;
              expect(model.has(key)).toBe(false);
              expect(tunnelPort).toBeGreaterThanOrEqual(100);
              expect(tunnelPort).toBeLessThanOrEqual(115);
              model.set(key, run);
            }
          } catch (error) {
            if (!isV6Error(error, 'V6_PORTS_EXHAUSTED')) throw error;
            // It says "none" only when that is so for one of the protocols.
            const isFull = (['tcp', 'udp'] as const).some((protocol) => {
              const held = [...model.keys()].filter((key) => key.startsWith(protocol)).length;
              return held + entry.take.filter((item) => item.protocol === protocol).length > 16;
            });
            expect(isFull).toBe(true);
          }
        });
        expect(leases.held()).toHaveLength(model.size);
      }),
    );
  });
});
