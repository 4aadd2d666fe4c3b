import { describe, expect, it } from 'vitest';
import {
  type AddressFlag,
  parseFlags,
  planAddresses,
} from '../../../../src/server/services/addresses.ts';

const flags = (...on: AddressFlag[]): Set<AddressFlag> => new Set(on);
const own = { own: true, children: false, parentId: undefined };

describe('flags of an address query', () => {
  it('are off for 0, false, False and no, as old clients send them', () => {
    const text = { only_children: 'False', only_parent: '0', only_self: 'no', include_parent: '' };
    expect([...parseFlags(text)]).toStrictEqual([]);
    expect([...parseFlags({ only_siblings: '1', include_children: 'True' })]).toStrictEqual([
      'only_siblings',
      'include_children',
    ]);
  });
});

describe('address query', () => {
  it.each<[string, AddressFlag[], number | null, object]>([
    ['the own task without flags', [], 5, { tasks: own, organizations: 'all' }],
    ['own ports', ['only_self'], 5, { tasks: own, organizations: 'own' }],
    ['siblings', ['only_siblings'], 5, { tasks: own, organizations: 'others' }],
    [
      'siblings, and forgets what else is included',
      ['only_siblings', 'include_children', 'include_parent'],
      5,
      { tasks: own, organizations: 'others' },
    ],
    [
      'children only',
      ['only_children'],
      null,
      { tasks: { own: false, children: true, parentId: undefined }, organizations: 'all' },
    ],
    [
      'children and parent without the own task',
      ['only_children', 'include_parent'],
      5,
      { tasks: { own: false, children: true, parentId: 5 }, organizations: 'all' },
    ],
    [
      'the parent only, and drops children',
      ['only_parent', 'include_children'],
      5,
      { tasks: { own: false, children: false, parentId: 5 }, organizations: 'all' },
    ],
    [
      'all of the family',
      ['include_children', 'include_parent'],
      5,
      { tasks: { own: true, children: true, parentId: 5 }, organizations: 'all' },
    ],
    [
      'itself where a parent is to be included and there is none',
      ['include_parent'],
      null,
      { tasks: own, organizations: 'all' },
    ],
  ])('means %s', (_what, on, parent, plan) => {
    expect(planAddresses(flags(...on), parent)).toStrictEqual(plan);
  });

  it('finds nobody for the parent of a task that has none', () => {
    expect(planAddresses(flags('only_parent'), null)).toBeUndefined();
  });

  it('is refused with two only_ flags', () => {
    expect(() => planAddresses(flags('only_parent', 'only_children'), 5)).toThrow(/only_parent/);
  });
});
