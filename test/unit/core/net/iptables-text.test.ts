import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { wantedFlows } from '../../../../src/core/net/accept-rules.ts';
import { type Flow, judge } from '../../../../src/core/net/filter-verdict.ts';
import type { HostRemote } from '../../../../src/core/net/host-rules.ts';
import { parseIptables } from '../../../../src/core/net/iptables-text.ts';
import type { Cidr } from '../../../../src/core/net/ipv4.ts';
import { ruleKey } from '../../../../src/core/net/packet-filter.ts';

const table = (rules: readonly string[], policy = 'ACCEPT') =>
  parseIptables(
    `*filter\n:FORWARD ${policy} [1:2]\n:X - [0:0]\n${rules.map((rule) => `-A ${rule}\n`).join('')}COMMIT\n`,
    'iptables-nft filter',
  );

const FLOW: Flow = {
  name: 'a tunnel',
  hook: 'forward',
  iif: 'v6a1',
  oif: 'eth0',
  saddr: '10.76.0.0/24',
  daddr: '192.0.2.1',
  protocol: 'udp',
  dport: 1194,
  state: 'new',
  isBridged: false,
};

describe('what a flow meets in FORWARD', () => {
  it.each<[rules: readonly string[], fate: string]>([
    [[], 'passes'],
    [['FORWARD -i v6a+ -j DROP'], 'drops'],
    [['FORWARD ! -i v6a+ -j DROP'], 'passes'],
    [['FORWARD -i docker0 -o eth0 -j DROP'], 'passes'],
    [['FORWARD -s 10.0.0.0/8 -j REJECT --reject-with icmp-port-unreachable'], 'drops'],
    [['FORWARD ! -s 10.76.0.0/16 -j DROP'], 'passes'],
    // Part of the uplink's range.
    [['FORWARD -s 10.76.0.0/25 -j DROP'], 'may-drop'],
    [['FORWARD -d 192.0.2.1/32 -p udp -m udp --dport 1000:1200 -j DROP'], 'drops'],
    [['FORWARD -p udp -m multiport --dports 53,1194 -j DROP'], 'drops'],
    [['FORWARD -p tcp -m tcp --dport 1194 -j DROP'], 'passes'],
    [['FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', 'FORWARD -j DROP'], 'drops'],
    [['FORWARD -m conntrack --ctstate NEW -j ACCEPT', 'FORWARD -j DROP'], 'passes'],
    [['FORWARD -m physdev --physdev-is-bridged -j DROP'], 'passes'],
    [['FORWARD -m limit --limit 5/sec -j DROP'], 'may-drop'],
    [['FORWARD -m mark --mark 0x1 -j ACCEPT', 'FORWARD -j DROP'], 'may-drop'],
    [['FORWARD -j LOG --log-prefix "no -j DROP "'], 'passes'],
    [['FORWARD -j X', 'X -i v6a1 -j RETURN', 'X -j DROP'], 'passes'],
    [['FORWARD -g X', 'FORWARD -j DROP', 'X -i eth9 -j DROP'], 'passes'],
    [['FORWARD -j X', 'FORWARD -j DROP', 'X -o eth0 -j ACCEPT'], 'passes'],
    [['FORWARD -m set --match-set bad src -j X', 'X -j DROP'], 'may-drop'],
    // Goes round for ever: the kernel refuses this, we end.
    [['FORWARD -j X', 'X -j X'], 'passes'],
  ])('%j: %s', (rules, fate) => {
    expect(judge(table(rules), 'FORWARD', FLOW).fate).toBe(fate);
  });

  it('is the policy where no rule ends it', () => {
    expect(judge(table(['FORWARD -i lo -j ACCEPT'], 'DROP'), 'FORWARD', FLOW)).toEqual({
      fate: 'drops',
      where: 'iptables-nft filter, chain FORWARD',
      rule: 'policy drop',
    });
  });

  it('is nobody’s business in a chain that is trusted', () => {
    const rules = ['FORWARD -j X', 'X -j DROP'];
    expect(judge(table(rules), 'FORWARD', FLOW, { trusted: (name) => name === 'X' }).fate).toBe(
      'passes',
    );
  });
});

describe('rules of ours', () => {
  const remote: fc.Arbitrary<HostRemote> = fc.record({
    address: fc.ipV4(),
    port: fc.integer({ min: 1, max: 65_535 }),
    protocol: fc.constantFrom('udp' as const, 'tcp' as const),
  });

  it('are read back as they were written, and let through what they are for', () => {
    fc.assert(
      fc.property(fc.array(remote, { maxLength: 4 }), (remotes) => {
        const flows = wantedFlows(
          {
            owner: 'user/alpha',
            uplink: { bridge: 'v6a1', subnet: '10.76.0.0/24' as Cidr },
            remotes,
            localRemotes: [],
          },
          { bridgeNf: true, outside: new Map(remotes.map(({ address }) => [address, 'eth0'])) },
        );
        const written = flows.map(({ rule }) => `FORWARD ${rule.text}`);
        const read = table(written, 'DROP');
        expect(read.chains.get('FORWARD')?.rules.map(ruleKey)).toEqual(
          flows.map(({ rule }) => ruleKey(rule)),
        );
        for (const { flow } of flows) expect(judge(read, 'FORWARD', flow).fate).toBe('passes');
        // And nothing beside it: another port, another direction, a packet that is routed between slots.
        const [first] = remotes;
        const other = { ...FLOW, daddr: '203.0.113.77', dport: 1 };
        if (first?.address !== other.daddr)
          expect(judge(read, 'FORWARD', other).fate).toBe('drops');
        const routed = { ...FLOW, iif: 'v6z1', oif: 'v6z2', isBridged: false };
        expect(judge(read, 'FORWARD', routed).fate).toBe('drops');
      }),
    );
  });
});
