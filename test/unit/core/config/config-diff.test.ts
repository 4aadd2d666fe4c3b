import { describe, expect, it } from 'vitest';
import { diffWithoutSecrets, hideSecrets } from '../../../../src/core/config/config-diff.ts';

describe('diffWithoutSecrets', () => {
  it('says nothing about equal texts', () => {
    expect(diffWithoutSecrets('a: 1\n', 'a: 1\n')).toBe('');
  });

  it('shows changed lines with two lines around them', () => {
    expect(
      diffWithoutSecrets('a: 1\nb: 2\nc: 3\nd: 4\ne: 5\n', 'a: 1\nb: 2\nc: 3\nd: 9\ne: 5\nf: 6\n'),
    ).toBe('  b: 2\n  c: 3\n- d: 4\n+ d: 9\n  e: 5\n+ f: 6\n');
  });

  it('hides secrets in changed and unchanged lines, in every way of writing them', () => {
    const before =
      'uri: postgresql://u:canary1@h/d\nv: {portal_userpass: "canary2", url: x}\nw:\n  client_secret: |\n    canary3\n  a: 1 # c\n';
    const after = before.replace('url: x', 'url: y').replace('canary3', 'canary4');
    const diff = diffWithoutSecrets(before, after);
    expect(diff).not.toContain('canary');
    expect(diff).toContain('- v: {portal_userpass: [hidden], url: x}');
    expect(diff).toContain('    client_secret: |\n- [hidden: old]\n+ [hidden: new]\n');
  });

  it('hides an older secret in a comment behind a secret', () => {
    expect(hideSecrets('p:\n  portal_userpass: a # was canary\n')).toBe(
      'p:\n  portal_userpass: [hidden]\n',
    );
  });
});
