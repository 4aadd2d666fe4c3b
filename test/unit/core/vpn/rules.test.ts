import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Cidr, Ipv4 } from '../../../../src/core/net/ipv4.ts';
import {
  checkSlot,
  linkAddress,
  parseCounters,
  planMappings,
  renderMapTransaction,
  renderPortsState,
  renderRemotesTransaction,
  renderSlotsState,
} from '../../../../src/core/vpn/rules.ts';
import type { Slot } from '../../../../src/core/vpn/slot.ts';
import type { PortMapping } from '../../../../src/core/vpn/tunnel.ts';

const RANGE = '10.201.1.0/24' as Cidr;
const mapping = (over: Partial<PortMapping> = {}): PortMapping => ({
  protocol: 'tcp',
  tunnelPort: 49152,
  address: '10.201.1.3' as Ipv4,
  port: 8888,
  label: 'p8888',
  ...over,
});
const slot: Slot = {
  index: 0,
  network: 'v6z-user-a-0',
  bridge: 'v6z0',
  subnet: '10.201.1.0/29' as Cidr,
  gateway: '10.201.1.1' as Ipv4,
  client: '10.201.1.2' as Ipv4,
  algorithm: '10.201.1.3' as Ipv4,
};

describe('what the VPN client is told', () => {
  it('puts the whole map into one transaction, whatever stood there', () => {
    expect(renderMapTransaction([mapping(), mapping({ protocol: 'udp', port: 53 })])).toBe(
      'flush map inet v6client ports; add element inet v6client ports { tcp . 49152 : 10.201.1.3 . 8888, udp . 49152 : 10.201.1.3 . 53 }',
    );
    expect(renderMapTransaction([])).toBe('flush map inet v6client ports');
  });

  it('keeps a set of remotes, each once', () => {
    const remote = { address: '192.0.2.1' as Ipv4, port: 1194, protocol: 'udp' } as const;
    expect(
      renderRemotesTransaction([remote, remote, { ...remote, port: 443, protocol: 'tcp' }]),
    ).toBe(
      'flush set inet v6client remotes; add element inet v6client remotes { 192.0.2.1 . udp . 1194, 192.0.2.1 . tcp . 443 }',
    );
  });

  it('writes state as lines of plain words', () => {
    expect(renderPortsState([mapping()])).toBe('tcp 49152 10.201.1.3 8888\n');
    expect(renderSlotsState([slot])).toBe('0 10.201.1.1/29 10.201.1.2 02:76:0a:c9:01:01\n');
  });

  it('refuses a tunnel port that two runs claim, and allows one for each protocol', () => {
    const twice = new Map([
      [1, [mapping()]],
      [2, [mapping({ address: '10.201.1.11' as Ipv4 })]],
    ]);
    expect(() => planMappings(twice, RANGE)).toThrow(/49152\/tcp of run 2 is held by run 1/);
    const both = new Map([[1, [mapping(), mapping({ protocol: 'udp' })]]]);
    expect(planMappings(both, RANGE)).toHaveLength(2);
  });

  it.each<[string, Partial<PortMapping>]>([
    ['a protocol', { protocol: 'sctp' as 'tcp' }],
    ['a tunnel port below the pool', { tunnelPort: 1194 }],
    ['the last port of all', { tunnelPort: 65535 }],
    ['a broken port', { port: 1.5 }],
    ['an address outside the slots', { address: '10.201.2.3' as Ipv4 }],
    ['a word that would leave its quotes', { address: "10.201.1.3'; reboot #" as Ipv4 }],
  ])('refuses %s that cannot be', (_, over) => {
    expect(() => planMappings(new Map([[1, [mapping(over)]]]), RANGE)).toThrow(
      expect.objectContaining({ code: 'V6_FIREWALL_APPLY' }),
    );
  });

  it('lets no text but digits, dots and its own words into a command', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.integer(), (address, protocol, port) => {
        const bad = mapping({
          address: address as Ipv4,
          protocol: protocol as 'tcp',
          tunnelPort: port,
        });
        let plan: readonly PortMapping[] = [];
        try {
          plan = planMappings(new Map([[1, [bad]]]), RANGE);
        } catch {
          return;
        }
        expect(renderMapTransaction(plan)).toMatch(/^[a-z0-9 .;:{},]+$/);
      }),
    );
  });

  it.each<[string, Partial<Slot>]>([
    ['outside the range', { subnet: '10.201.2.0/29' as Cidr }],
    ['with a gateway of another slot', { gateway: '10.201.1.9' as Ipv4 }],
    ['with words for an address', { client: '$(reboot)' as Ipv4 }],
    ['with words for a subnet', { subnet: '10.201.1.0/29; reboot' as Cidr }],
    ['with a broken index', { index: -1 }],
  ])('refuses a slot %s', (_, over) => {
    expect(() => checkSlot({ ...slot, ...over }, RANGE)).toThrow(
      expect.objectContaining({ code: 'V6_FIREWALL_APPLY' }),
    );
    expect(() => checkSlot(slot, RANGE)).not.toThrow();
  });

  it('gives each gateway a link address of its own that is not a group’s', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV4(), (one, two) => {
        expect(linkAddress(one as Ipv4)).toMatch(/^02(:[0-9a-f]{2}){5}$/);
        expect(linkAddress(one as Ipv4) === linkAddress(two as Ipv4)).toBe(one === two);
      }),
    );
  });

  it('reads counters by the name in the comment', () => {
    const text = `\t\tiifname "tun0" ip daddr 10.201.1.0/24 ct status dnat counter packets 2 bytes 94 accept comment "v6 accept-from-vpn"
\t\tct state established,related accept
\t\tcounter packets 7 bytes 420 comment "v6 drop-through"`;
    expect(parseCounters(text)).toEqual({
      'accept-from-vpn': { packets: 2, bytes: 94 },
      'drop-through': { packets: 7, bytes: 420 },
    });
  });
});
