import { describe, expect, it } from 'vitest';
import { type BackendClues, chooseBackend } from '../../../../src/core/net/host-state.ts';

const CLUES: BackendClues = {
  engineSays: undefined,
  engineVersion: '20.10.24',
  legacyTables: [],
  hasNftUserChain: false,
};
const BOTH = { hasNftUserChain: true, legacyTables: ['filter'], hasLegacyUserChain: true };

describe('the back end of the engine', () => {
  it.each<[what: string, clues: Partial<BackendClues>, backend: string, because: RegExp]>([
    [
      'what the engine says',
      { engineSays: 'nftables', hasNftUserChain: true },
      'nftables',
      /says that its firewall is nftables/,
    ],
    ['iptables on nft', { hasNftUserChain: true }, 'iptables-nft', /nft has chain DOCKER-USER/],
    [
      'iptables-legacy',
      { legacyTables: ['nat', 'filter'], hasLegacyUserChain: true },
      'iptables-legacy',
      /ip_tables_names\) with DOCKER-USER/,
    ],
    // Some tool of iptables-legacy ran here once; the engine has nothing there.
    [
      'nft beside foreign legacy tables',
      { hasNftUserChain: true, legacyTables: ['filter'], hasLegacyUserChain: false },
      'iptables-nft',
      /has a filter table \(/,
    ],
    [
      'an engine that says iptables and makes no rules',
      { engineSays: 'iptables' },
      'none',
      /so the engine makes no rules/,
    ],
    [
      'the one of two that knows the uplink',
      { ...BOTH, uplinkIn: ['iptables-legacy'] },
      'iptables-legacy',
      /iptables-legacy knows the uplink/,
    ],
    [
      'nft where both know it',
      { ...BOTH, uplinkIn: ['iptables-nft', 'iptables-legacy'] },
      'iptables-nft',
      /iptables-legacy may drop as well/,
    ],
  ])('is %s', (_, clues, backend, because) => {
    const found = chooseBackend({ ...CLUES, ...clues });
    expect(found.backend).toBe(backend);
    expect(found.evidence.join('\n')).toMatch(because);
  });
});
