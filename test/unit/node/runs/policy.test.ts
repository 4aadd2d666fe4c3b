import { expect, it } from 'vitest';
import { isImageAllowed, withoutTag } from '../../../../src/node/runs/policy.ts';

const image = 'registry.test:5000/algorithms/echo:1.2';

it('allows everything where nothing is listed, and nothing where the list is empty', () => {
  expect(isImageAllowed(image, undefined)).toBe(true);
  expect(isImageAllowed(image, [])).toBe(false);
});

it('takes an image with its tag, and one without tag for every tag', () => {
  expect(isImageAllowed(image, [image])).toBe(true);
  expect(isImageAllowed(image, ['registry.test:5000/algorithms/echo'])).toBe(true);
  expect(isImageAllowed(image, ['registry.test:5000/algorithms/echo:1.3'])).toBe(false);
  expect(isImageAllowed(image, ['registry.test:5000/algorithms'])).toBe(false);
});

it('matches regular expressions from the start only', () => {
  expect(isImageAllowed(image, ['registry\\.test:5000/algorithms/.*'])).toBe(true);
  expect(isImageAllowed(image, ['algorithms/.*'])).toBe(false);
  expect(isImageAllowed(image, ['^registry'])).toBe(true);
});

it('names a list entry that is not a regular expression', () => {
  expect(() => isImageAllowed(image, ['(echo'])).toThrow(/"\(echo"/);
});

it('cuts tag and digest off, and no port of a registry', () => {
  expect(withoutTag(image)).toBe('registry.test:5000/algorithms/echo');
  expect(withoutTag('host:5000/echo')).toBe('host:5000/echo');
  expect(withoutTag('echo:1@sha256:abc')).toBe('echo');
});
