import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { ERROR_CATALOGUE } from '../../../src/core/errors.ts';

const docs = readFileSync(path.join(import.meta.dirname, '../../../docs/errors.md'), 'utf8');
const readme = readFileSync(path.join(import.meta.dirname, '../../../README.md'), 'utf8');

it('the documentation lists every error code once, with its exit status', () => {
  const rows = [...docs.matchAll(/^\| `(V6_[A-Z0-9_]+)` \| (\d+) \|/gm)].map((row) => [
    row[1],
    Number(row[2]),
  ]);
  const catalogue = Object.entries(ERROR_CATALOGUE).map(([code, entry]) => [code, entry.exitCode]);
  expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(catalogue));
  expect(rows).toHaveLength(catalogue.length);
});

it('the README leads to them', () => {
  expect(readme).toContain('docs/errors.md');
});
