import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Cidr, Ipv4 } from '../../../../src/core/net/ipv4.ts';
import {
  checkSlot,
  linkAddress,
  parseCounters,
  renderSlotsState,
} from '../../../../src/core/vpn/rules.ts';
import type { Slot } from '../../../../src/core/vpn/slot.ts';

const RANGE = '10.201.1.0/24' as Cidr;
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
  it('writes state as lines of plain words', () => {
    expect(renderSlotsState([slot])).toBe('0 10.201.1.1/29 10.201.1.2 02:76:0a:c9:01:01\n');
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
