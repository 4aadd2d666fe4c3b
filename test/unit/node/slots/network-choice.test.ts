import { describe, expect, it } from 'vitest';
import { containsAddress, overlaps, parseCidr, rangeOf } from '../../../../src/core/net/ipv4.ts';
import { chooseNetworks, hiddenByVpn } from '../../../../src/node/slots/network-choice.ts';

const cidr = (text: string) => parseCidr(text, 'test');
const base = {
  owner: 'user/alpha',
  isolatedRange: undefined,
  vpnSubnet: cidr('10.76.0.0/16'),
  ownUplink: true,
  stored: undefined,
  taken: [],
} as const;
const taken = (text: string) => ({ subnet: cidr(text), owner: 'the route to eth0' });

describe('the ranges of a node', () => {
  it('are a free /22 and a free /28 beside it, the same each time for the same node', () => {
    const choice = chooseNetworks(base);
    expect(rangeOf(choice.isolatedRange).prefix).toBe(22);
    expect(choice.uplinkSubnet && rangeOf(choice.uplinkSubnet).prefix).toBe(28);
    expect(choice.uplinkSubnet && overlaps(choice.isolatedRange, choice.uplinkSubnet)).toBe(false);
    expect(chooseNetworks(base)).toEqual(choice);
    expect(chooseNetworks({ ...base, owner: 'user/beta' })).not.toEqual(choice);
  });

  it('stay as they were chosen while they are free, and change when somebody else took them', () => {
    const stored = { isolatedRange: cidr('10.230.0.0/22'), uplinkSubnet: cidr('10.231.0.0/28') };
    expect(chooseNetworks({ ...base, stored })).toEqual(stored);
    const moved = chooseNetworks({ ...base, stored, taken: [taken('10.230.1.0/24')] });
    expect(moved.uplinkSubnet).toBe(stored.uplinkSubnet);
    expect(overlaps(moved.isolatedRange, cidr('10.230.1.0/24'))).toBe(false);
  });

  it('avoid the VPN and whatever is taken, also where the site routes all of 10.0.0.0/8', () => {
    const routes = [taken('10.0.0.0/8'), taken('172.16.0.0/12')];
    const choice = chooseNetworks({ ...base, taken: routes });
    expect(containsAddress(choice.isolatedRange, '198.18.0.1')).toBe(true);
  });

  it('leave an existing uplink alone', () => {
    expect(chooseNetworks({ ...base, ownUplink: false }).uplinkSubnet).toBeUndefined();
  });
});

describe('a configured isolated_range', () => {
  it('over somebody else is an error that names both', () => {
    const input = {
      ...base,
      isolatedRange: cidr('10.230.0.0/22'),
      taken: [taken('10.230.2.0/24')],
    };
    expect(() => chooseNetworks(input)).toThrow(
      'isolated_range 10.230.0.0/22 overlaps 10.230.2.0/24 (the route to eth0)',
    );
  });

  it('over vpn_subnet is an error', () => {
    const input = { ...base, isolatedRange: cidr('10.76.4.0/22') };
    expect(() => chooseNetworks(input)).toThrow(/overlaps vpn_subnet 10.76.0.0\/16/);
  });

  it('without room for one slot is an error', () => {
    const input = { ...base, isolatedRange: cidr('10.230.0.0/30') };
    expect(() => chooseNetworks(input)).toThrow(/too small/);
  });
});

it('names the networks that vpn_subnet covers', () => {
  const list = [taken('10.76.3.0/24'), taken('192.168.0.0/24')];
  expect(hiddenByVpn(base.vpnSubnet, list)).toEqual([list[0]]);
  expect(hiddenByVpn(undefined, list)).toEqual([]);
});
