import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressAt,
  type Cidr,
  containsAddress,
  findFreeCidr,
  ipv4ToNumber,
  netmaskOf,
  numberToIpv4,
  overlaps,
  parseCidr,
  rangeOf,
  subnetsOf,
} from '../../../../src/core/net/ipv4.ts';

const cidr = fc
  .tuple(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 0, max: 32 }))
  .map(
    ([value, prefix]) => `${numberToIpv4(value - (value % 2 ** (32 - prefix)))}/${prefix}` as Cidr,
  );

describe('IPv4 networks', () => {
  it('round-trip every address', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        (value) => ipv4ToNumber(numberToIpv4(value)) === value,
      ),
    );
  });

  it('accept every network without host bits and keep it as written', () => {
    fc.assert(fc.property(cidr, (text) => parseCidr(text, 'vpn_subnet') === text));
  });

  it.each([
    '010.0.0.0/8',
    '10.0.0/8',
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '1',
    '',
    '256.0.0.0/8',
    '::1/128',
  ])('refuse %j and say which setting it was', (text) => {
    expect(() => parseCidr(text, 'vpn_subnet')).toThrow(/vpn_subnet is not an IPv4 network/);
  });

  it('refuse host bits and name the network that was meant', () => {
    expect(() => parseCidr('10.76.0.5/16', 'vpn_subnet')).toThrow(
      expect.objectContaining({ code: 'V6_CONFIG_SUBNET', hints: ['Did you mean 10.76.0.0/16?'] }),
    );
  });

  it('overlap exactly when an end of one lies in the other', () => {
    fc.assert(
      fc.property(cidr, cidr, (a, b) => {
        const first = (x: Cidr): string => numberToIpv4(rangeOf(x).start);
        expect(overlaps(a, b)).toBe(containsAddress(a, first(b)) || containsAddress(b, first(a)));
      }),
    );
  });

  it('split into subnets that do not overlap and fill the whole', () => {
    const parts = [...subnetsOf('10.9.8.0/22' as Cidr, 29)];
    expect(parts).toHaveLength(128);
    expect(parts.at(-1)).toBe('10.9.11.248/29');
  });

  it('find a free network beside those that are taken', () => {
    expect(
      findFreeCidr(['10.0.0.0/14' as Cidr], 16, ['10.0.0.0/16', '10.1.4.0/24'] as Cidr[]),
    ).toBe('10.2.0.0/16');
    expect(() => findFreeCidr(['10.0.0.0/16' as Cidr], 16, ['10.0.9.0/24' as Cidr])).toThrow(
      expect.objectContaining({ code: 'V6_NET_NO_FREE_RANGE' }),
    );
  });

  it('give masks and addresses', () => {
    expect(netmaskOf('10.76.0.0/16' as Cidr)).toBe('255.255.0.0');
    expect(addressAt('10.76.0.0/29' as Cidr, 3)).toBe('10.76.0.3');
    expect(() => addressAt('10.76.0.0/29' as Cidr, 8)).toThrow(RangeError);
  });
});
