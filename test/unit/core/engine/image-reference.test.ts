import { describe, expect, it } from 'vitest';
import { isImageReference } from '../../../../src/core/engine/image-reference.ts';

describe('names of images', () => {
  it.each([
    'busybox',
    'v6-echo:0.1.0',
    'v6-vpn:ea7b05e2f7bf',
    'harbor2.vantage6.ai/algorithms/average:latest',
    'localhost:5000/a/b__c/d-e--f:v1.2_3',
    'registry.example.test:5000/x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
    'ghcr.io/iknl/v6-average-py:1.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
    'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
    '5c04fa22cdb7',
  ])('takes %s', (name) => {
    expect(isImageReference(name)).toBe(true);
  });

  it.each([
    '',
    '../../../etc/passwd',
    'x/../../containers/json',
    'x/..//evil.example.test/y',
    '//evil.example.test/y',
    '/x',
    'x/',
    'x?all=1',
    'x#y',
    'x%2f..%2fy',
    'x\\y',
    'x y',
    'x\n',
    '--privileged',
    'x; touch /run/pwned',
    'X',
    'x:',
    'x@y',
    'x:1:2',
    `x:${'1'.repeat(129)}`,
    'a'.repeat(1000),
  ])('refuses %j', (name) => {
    expect(isImageReference(name)).toBe(false);
  });
});
