import { describe, expect, it } from 'vitest';
import { parseYaml, parseYamlAsWritten } from '../../../../src/core/config/yaml.ts';
import { listYamlEntries } from '../../../../src/core/config/yaml-entries.ts';
import { V6Error } from '../../../../src/core/errors.ts';

function failureOf(run: () => unknown): V6Error {
  try {
    run();
  } catch (error) {
    if (error instanceof V6Error) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('parseYaml', () => {
  it('names file, line, column and reason of a syntax error', () => {
    const error = failureOf(() => parseYaml('a: 1\nb: c: d\n', '/etc/x.yaml'));
    expect(error.code).toBe('V6_CONFIG_SYNTAX');
    expect(error.message).toMatch(/^\/etc\/x\.yaml:2:5: /);
    expect(error.entry.exitCode).toBe(78);
    expect(error.details).toMatchObject({ line: 2, column: 5 });
  });

  it('does not quote the line at fault, which may hold a secret', () => {
    const error = failureOf(() => parseYaml('portal_userpass: hunter2: x\n', 'x.yaml'));
    expect(JSON.stringify([error.message, error.hints, error.details])).not.toContain('hunter2');
    expect(error.cause).toBeUndefined();
  });

  it.each(['', '\n', '# only a comment\n', '---\n', '~\n'])('refuses the empty file %j', (text) => {
    expect(failureOf(() => parseYaml(text, 'x.yaml')).code).toBe('V6_CONFIG_SYNTAX');
  });

  it('refuses a key that stands twice', () => {
    expect(failureOf(() => parseYaml('a: 1\na: 2\n', 'x.yaml')).message).toContain(
      'duplicated mapping key',
    );
  });

  it('merges and resolves anchors as upstream does', () => {
    expect(parseYaml('a: &a {x: 1}\nb:\n  <<: *a\n  y: 2\n', 'x')).toEqual({
      a: { x: 1 },
      b: { x: 1, y: 2 },
    });
  });

  it('reads a file with a byte order mark and CRLF', () => {
    expect(parseYaml('\uFEFFa: 1\r\nb: two\r\n', 'x')).toEqual({ a: 1, b: 'two' });
  });

  it('keeps scalars as written on demand', () => {
    expect(parseYamlAsWritten('a: 0123\nb: "x"\n', 'x')).toEqual({ a: '0123', b: 'x' });
  });
});

describe('listYamlEntries', () => {
  it('gives path, line and place of every key', () => {
    const text = 'a:\n  "b": [1, {c: 2}]\n# x\nd: *q\n'.replace('*q', 'e');
    const entries = listYamlEntries(text);
    expect(entries.map(({ path, line }) => [path.join('.'), line])).toEqual([
      ['a', 1],
      ['a.b', 2],
      ['a.b.[1].c', 2],
      ['d', 4],
    ]);
    expect(entries.map(({ keyStart }) => text[keyStart])).toEqual(['a', '"', 'c', 'd']);
  });
});
