import { describe, expect, it } from 'vitest';
import type { NodeEntity } from '../../../src/core/protocol/entities.ts';
import { chooseParticipants, stateOf } from '../../../src/diagnose/participants.ts';

const relation = (id: number) => ({ id, link: '', methods: [] });

const node = (id: number, changes: Partial<NodeEntity> = {}): NodeEntity => ({
  id: 100 + id,
  name: `node-${id}`,
  type: 'node',
  status: 'online',
  ip: `10.76.0.${id}`,
  last_seen: null,
  organization: relation(id),
  collaboration: relation(1),
  config: [],
  ...changes,
});

const vpn = (value: string) => ({ config: [{ key: 'vpn', value }] });
const everybody = { nodes: [], organizations: [] };

describe('state of a node in a test', () => {
  it.each([
    ['connected', {}],
    ['offline', { status: 'offline' }],
    ['offline', { status: null }],
    ['tunnel-down', { ip: null, ...vpn('on') }],
    ['skipped', { ip: null, ...vpn('off') }],
    ['skipped', { ip: null }],
    ['skipped', { ...vpn('off') }],
  ] as const)('is %s for %j', (state, changes) => {
    expect(stateOf(node(1, changes))).toBe(state);
  });
});

describe('participants of a test', () => {
  const nodes = [
    node(3),
    node(1),
    node(2, { ip: null, ...vpn('on') }),
    node(4, { status: 'offline' }),
    node(5, { ip: null }),
  ];
  const meshOf = (...args: Parameters<typeof chooseParticipants>) =>
    chooseParticipants(...args).map(
      ({ organization, inMesh, runs }) =>
        `${organization}${inMesh ? ' mesh' : ''}${runs ? ' runs' : ''}`,
    );

  it('are all listed in order; offline ones and those without VPN stay out of the mesh', () => {
    expect(meshOf(nodes, everybody)).toEqual([
      '1 mesh runs',
      '2 mesh runs',
      '3 mesh runs',
      '4',
      '5',
    ]);
  });

  it('that were named belong to the mesh, also when they cannot take part', () => {
    expect(meshOf(nodes, { nodes: ['node-1', 'node-4'], organizations: [5] })).toEqual([
      '1 mesh runs',
      '4 mesh',
      '5 mesh',
    ]);
  });

  it('are all in the mesh when all have to take part', () => {
    expect(meshOf(nodes, { ...everybody, allNodes: true })).toEqual([
      '1 mesh runs',
      '2 mesh runs',
      '3 mesh runs',
      '4 mesh',
      '5 mesh',
    ]);
  });

  it.each([
    [{ nodes: ['gamma'], organizations: [] }, 'gamma'],
    [{ nodes: [], organizations: [9] }, '9'],
  ])('that do not exist are refused: %j', (selection, what) => {
    expect(() => chooseParticipants(nodes, selection)).toThrow(
      `the collaboration has no node of ${what}`,
    );
  });

  it('have names without control characters', () => {
    const [first] = chooseParticipants([node(1, { name: 'a\u001b[2Jb' })], everybody);
    expect(first?.node).toBe('a [2Jb');
  });
});
