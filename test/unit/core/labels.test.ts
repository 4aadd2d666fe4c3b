import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bridgeName, isContextName, labelsFor, names } from '../../../src/core/labels.ts';

describe('names and labels', () => {
  it('give bridges of at most 15 characters that differ with the network', () => {
    const seen = new Set<string>();
    for (let index = 0; index < 5000; index += 1)
      seen.add(bridgeName('v6z', names.slot('user', 'alpha', index)));
    expect(seen.size).toBe(5000);
    for (const name of seen) expect(name.length).toBeLessThanOrEqual(15);
  });

  it('sort uplinks before slots, whatever their names', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        (a, b) => names.uplink('user', a) < names.slot('demo', b, 0),
      ),
    );
  });

  it('carry upstream labels on nodes and algorithms beside ours', () => {
    expect(labelsFor({ kind: 'node', scope: 'system', node: 'alpha' })).toMatchObject({
      'vantage6-type': 'node',
      name: 'alpha',
      system: 'True',
      'v6.kind': 'node',
    });
    expect(labelsFor({ kind: 'algorithm', scope: 'user', node: 'alpha', run: 41 })).toMatchObject({
      'vantage6-type': 'algorithm',
      run_id: '41',
      'v6.run': '41',
    });
  });

  it('do not call a server part of the node with its name', () => {
    const labels = labelsFor({ kind: 'server', scope: 'system', node: 'default' });
    expect(labels).toMatchObject({ 'v6.kind': 'server', name: 'default' });
    expect(labels).not.toHaveProperty('v6.node');
  });

  it('refuse names that upstream refuses', () => {
    expect(isContextName('north-1.a_b')).toBe(true);
    for (const name of ['', 'a b', 'a/b', 'a:b', 'x'.repeat(65)])
      expect(isContextName(name), name).toBe(false);
  });
});
