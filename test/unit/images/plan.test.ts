import { describe, expect, it } from 'vitest';
import { type AnyImageKind, BASE_OF, IMAGE_KINDS } from '../../../src/images/kinds.ts';
import { planBuild } from '../../../src/images/plan.ts';

const plan = (current: readonly AnyImageKind[], more: { only?: 'vpn'; isForced?: true } = {}) =>
  planBuild({
    wanted: more.only === undefined ? IMAGE_KINDS : [more.only],
    current: new Set(current),
    isForced: more.isForced ?? false,
  });

describe('the plan of an image build', () => {
  it('builds bases first, and all images, where there are none', () => {
    expect(plan([]).build).toEqual(['vpn-base', 'runtime-base', 'vpn', 'runtime', 'echo']);
  });

  it('builds nothing where all are current, with or without their bases', () => {
    expect(plan(IMAGE_KINDS)).toEqual({ build: [], present: ['vpn', 'runtime', 'echo'] });
  });

  it('does not touch the base of an image that is there', () => {
    expect(plan(['vpn']).build).toEqual(['runtime-base', 'runtime', 'echo']);
  });

  it('builds only what changed on a base that is there', () => {
    expect(plan(['vpn-base', 'runtime-base', 'vpn', 'echo'])).toEqual({
      build: ['runtime'],
      present: ['vpn', 'echo'],
    });
  });

  it('is limited to the wanted images and what they stand on', () => {
    expect(plan([], { only: 'vpn' })).toEqual({ build: [BASE_OF.vpn, 'vpn'], present: [] });
  });

  it('builds everything again when forced', () => {
    const all: readonly AnyImageKind[] = [...IMAGE_KINDS, 'vpn-base', 'runtime-base'];
    expect(plan(all, { isForced: true }).build).toHaveLength(5);
  });
});
