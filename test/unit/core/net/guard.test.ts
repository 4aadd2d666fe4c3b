import { describe, expect, it } from 'vitest';
import { type LocalRemote, parseGuard, renderGuard } from '../../../../src/core/net/guard.ts';

const remote: LocalRemote = { address: '10.201.240.1', port: 1194, protocol: 'udp' };

describe('the guard as text', () => {
  it('is the same batch as on the day it was tried', async () => {
    const owners = new Map([
      ['user/alpha', [remote, { ...remote, port: 443, protocol: 'tcp' } as const]],
      ['demo/node-1', []],
    ]);
    await expect(renderGuard(owners)).toMatchFileSnapshot('../../../golden/guard.nft');
  });

  it('leaves no table when nobody needs it', () => {
    expect(renderGuard(new Map())).toBe('add table inet v6guard\ndelete table inet v6guard\n');
  });

  it('reads its owners and their remotes from what nft prints', () => {
    // Printed by nft 1.0.6.
    const text = `table inet v6guard {
\tset owners {
\t\ttype mark
\t\telements = { 0xaf338b97 comment "v6 user/b2", 0xb0338d2a comment "v6 user/b1" }
\t}

\tset remotes_b0338d2a {
\t\ttype ipv4_addr . inet_proto . inet_service
\t\telements = { 10.201.240.1 . udp . 1194,
\t\t\t     10.201.240.1 . tcp . 443 }
\t}

\tchain to_host {
\t\ttype filter hook input priority filter - 10; policy accept;
\t\tiifname "v6a*" counter packets 0 bytes 0 drop comment "v6 v6a to host"
\t}
}
`;
    expect(parseGuard(text)).toEqual(
      new Map([
        ['user/b2', []],
        ['user/b1', [remote, { ...remote, port: 443, protocol: 'tcp' }]],
      ]),
    );
    expect(parseGuard('')).toEqual(new Map());
  });

  it.each(['alpha', 'user/"; flush ruleset', 'user/a b', `user/${'a'.repeat(100)}`])(
    'refuses %j as an owner',
    (owner) => {
      expect(() => renderGuard(new Map([[owner, []]]))).toThrow(
        expect.objectContaining({ code: 'V6_FIREWALL_APPLY' }),
      );
    },
  );

  it.each<Partial<LocalRemote>>([
    { address: '10.0.0.1; drop' },
    { port: 0 },
    { port: 70_000 },
    { protocol: 'icmp' as 'tcp' },
  ])('refuses %j as a remote', (over) => {
    expect(() => renderGuard(new Map([['user/a', [{ ...remote, ...over }]]]))).toThrow(
      expect.objectContaining({ code: 'V6_FIREWALL_APPLY' }),
    );
  });
});
