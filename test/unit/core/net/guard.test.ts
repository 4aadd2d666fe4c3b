import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  guardOwners,
  ownerMark,
  renderGuard,
  renderShare,
} from '../../../../src/core/net/guard.ts';
import { guardFaults } from '../../../../src/core/net/guard-faults.ts';
import type { HostRemote } from '../../../../src/core/net/host-rules.ts';
import { parseNft } from '../../../../src/core/net/nft-json.ts';

const remote: HostRemote = { address: '10.201.240.1', port: 1194, protocol: 'udp' };

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

  /** Printed by nft 1.0.6, with handles left out. */
  const printed = () => readFile(new URL('../../../golden/guard.json', import.meta.url), 'utf8');
  const laterVersion = async () =>
    (await printed()).replace(/(?<="revision"[^]*?"elem": \[\s*)1/, '2');
  const listing = async () => parseNft(await printed());
  const held = new Map([
    ['user/alpha', [remote, { ...remote, port: 443, protocol: 'tcp' } as const]],
    ['demo/node-1', []],
  ]);

  it('reads its owners and their remotes from what nft prints, and finds nothing wrong with it', async () => {
    expect(guardOwners(await listing())).toEqual(held);
    expect(guardFaults(await listing(), held)).toEqual([]);
    expect(guardOwners(parseNft('{"nftables": []}'))).toEqual(new Map());
  });

  it.each<[what: string, change: (text: string) => string, fault: string]>([
    [
      'a rule that was turned round',
      (text) => text.replace('"drop": null', '"accept": null'),
      'chain to_host lacks 1 of our rules and has 1 others',
    ],
    [
      'a chain at another hook',
      (text) => text.replace('"hook": "forward"', '"hook": "output"'),
      'chain through does not stand at its hook',
    ],
    [
      'an owner without its mark',
      (text) => text.replace('v6 user/alpha', 'somebody'),
      'the mark of user/alpha is missing',
    ],
    [
      'another port',
      (text) => text.replace('443', '444'),
      'the VPN servers of user/alpha are not as wanted',
    ],
  ])('finds %s', async (_, change, fault) => {
    expect(guardFaults(parseNft(change(await printed())), held)).toContain(fault);
  });

  it('leaves the guard of a later version to that, and adds its own elements', async () => {
    const nft = parseNft(await laterVersion());
    expect(guardFaults(nft, held)).toEqual([]);
    const share = (owner: string, remotes: readonly HostRemote[] | undefined) =>
      renderShare(
        owner,
        guardOwners(nft),
        new Map(remotes === undefined ? [] : [[owner, remotes]]),
      );
    expect(share('user/new', [])).toBe(
      `add element inet v6guard owners { 0x${ownerMark('user/new')} comment "v6 user/new" }\n`,
    );
    expect(share('user/alpha', undefined)).toBe(
      'delete element inet v6guard owners { 0x8e7f4b79 }\nflush set inet v6guard remotes_8e7f4b79\n',
    );
  });

  it('puts its own in the place of a later one that does not guard', async () => {
    const harmless = (await laterVersion()).replaceAll('"drop": null', '"accept": null');
    expect(guardFaults(parseNft(harmless), held)).toContain('its revision is 2 and not 1');
  });

  it.each(['alpha', 'user/"; flush ruleset', 'user/a b', `user/${'a'.repeat(100)}`])(
    'refuses %j as an owner',
    (owner) => {
      expect(() => renderGuard(new Map([[owner, []]]))).toThrow(
        expect.objectContaining({ code: 'V6_FIREWALL_APPLY' }),
      );
    },
  );

  it.each<Partial<HostRemote>>([
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
