import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { type Flow, judge } from '../../../../src/core/net/filter-verdict.ts';
import { parseNft } from '../../../../src/core/net/nft-json.ts';

/** Printed by nft 1.0.6 of a table with what sites write. */
const site = async () => {
  const file = new URL('../../../golden/site-table.json', import.meta.url);
  const table = parseNft(await readFile(file, 'utf8')).tables.get('inet site');
  if (table === undefined) throw new Error('the table was not read');
  return table;
};

const OUT: Flow = {
  name: 'a tunnel',
  hook: 'forward',
  iif: 'v6a1',
  oif: 'eth0',
  saddr: '172.30.0.0/24',
  daddr: '192.0.2.1',
  protocol: 'udp',
  dport: 1194,
  state: 'new',
  isBridged: false,
};

describe('tables that nft prints as JSON', () => {
  it('keep their hooks, chains and rules; a map of verdicts is a rule for each of its elements', async () => {
    const { where, chains } = await site();
    expect(where).toBe('table inet site');
    expect(chains.get('passing')?.base).toEqual({ hook: 'forward', priority: 0, policy: 'drop' });
    expect(chains.get('y')).toEqual({ name: 'y', rules: [] });
    expect(chains.get('x')?.rules.map(({ text }) => text.replace(/ # .*/, ''))).toEqual([
      'protocol tcp dport 22,80-90 drop',
      'iif lo accept',
      'iif eth0 jump y',
      'other 1 accept',
      'protocol tcp drop',
    ]);
  });

  it.each<[what: string, over: Partial<Flow>, fate: string, rule: string]>([
    ['an answer', { state: 'established' }, 'passes', ''],
    ['a frame within a slot', { iif: 'v6z1', oif: 'v6z1' }, 'passes', ''],
    // `ip saddr @lan` may fit: its elements are not read.
    ['a tunnel that nothing names', { daddr: '203.0.113.1' }, 'may-drop', 'policy drop'],
    ['a name server', { dport: 53 }, 'may-drop', 'dport 53 drop'],
    ['a web server', { protocol: 'tcp', dport: 80 }, 'may-drop', 'dport 22,80-90 drop'],
  ])('judge %s', async (_, over, fate, rule) => {
    const found = judge(await site(), 'passing', { ...OUT, ...over });
    expect(found.fate).toBe(fate);
    expect(found.rule).toContain(rule);
  });

  it('are certain where every rule before is understood', async () => {
    const table = await site();
    const rules = table.chains.get('passing')?.rules ?? [];
    const known = rules.filter(({ text }) => !text.includes('@lan'));
    const passing = { name: 'passing', rules: known };
    const base = table.chains.get('passing')?.base;
    const chains = new Map(table.chains).set('passing', {
      ...passing,
      ...(base === undefined ? {} : { base }),
    });
    const dns = judge({ ...table, chains }, 'passing', { ...OUT, dport: 53 });
    expect(dns).toMatchObject({ fate: 'drops', where: 'table inet site, chain passing' });
    const web = judge({ ...table, chains }, 'passing', { ...OUT, protocol: 'tcp', dport: 80 });
    expect(web).toMatchObject({ fate: 'drops', where: 'table inet site, chain x' });
  });

  it.each(['', 'Error: Could not process rule', '[]'])('refuse %j', (text) => {
    expect(() => parseNft(text)).toThrow(expect.objectContaining({ code: 'V6_FIREWALL_READ' }));
  });
});
