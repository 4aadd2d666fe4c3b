import { describe, expect, it } from 'vitest';
import { readIdentity } from '../../../src/algorithm/token.ts';

const token = (claims: unknown): string =>
  `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
const sub = {
  client_type: 'container',
  node_id: 3,
  organization_id: 1,
  collaboration_id: 5,
  study_id: null,
  task_id: 12,
  image: 'algo:1',
  databases: [],
};

describe('identity in a container token', () => {
  it('is the object in sub', () => {
    expect(readIdentity(token({ sub }))).toEqual({
      organization: 1,
      collaboration: 5,
      task: 12,
      node: 3,
      image: 'algo:1',
      study: null,
      store: null,
    });
  });

  it.each([
    ['no JWT', 'nonsense'],
    ['a token of a user', token({ sub: 7 })],
    ['a token without organization', token({ sub: { ...sub, organization_id: undefined } })],
  ])('is refused from %s', (_what, text) => {
    expect(() => readIdentity(text)).toThrow();
  });
});
