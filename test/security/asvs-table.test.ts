import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const NUMBER = /V(\d+\.\d+\.\d+)(?: to V(\d+\.\d+\.\d+))?/g;

/** A title at the beginning of a line, or behind `it(` or the end of `it.each(…)(`. */
const TITLE = /(?:^\s*|\(\s*)['`](V\d+\.\d.*)$/gm;

/** `V3.4.3 to V3.4.6` stands for all between. */
function numbersOf(text: string): readonly string[] {
  return [...text.matchAll(NUMBER)].flatMap(([, from = '', to]) => {
    if (to === undefined) return [from];
    const [first, last] = [Number(from.split('.')[2]), Number(to.split('.')[2])];
    const section = from.split('.').slice(0, 2).join('.');
    return Array.from({ length: last - first + 1 }, (_, i) => `${section}.${first + i}`);
  });
}

it('docs/server-security.md names each ASVS requirement that a test is about, with its file', () => {
  const folder = import.meta.dirname;
  const shown = new Map<string, Set<string>>();
  for (const file of readdirSync(folder).filter((name) => /^asvs-.*\.test\.ts$/.test(name))) {
    if (file === path.basename(import.meta.filename)) continue;
    const titles = readFileSync(path.join(folder, file), 'utf8').matchAll(TITLE);
    for (const [, title = ''] of titles)
      for (const number of numbersOf(title))
        shown.set(number, (shown.get(number) ?? new Set()).add(file));
  }
  const guide = readFileSync(path.join(folder, '../../docs/server-security.md'), 'utf8');
  const table = new Map<string, Set<string>>();
  for (const [, numbers = '', , files = ''] of guide.matchAll(
    /^\| (V[^|]+) \| ([^|]+) \| ([^|]+) \|$/gm,
  ))
    for (const number of numbersOf(numbers))
      table.set(number, new Set([...files.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file)));
  const flat = (map: ReadonlyMap<string, ReadonlySet<string>>): string[] =>
    [...map].map(([number, files]) => `${number} ${[...files].toSorted().join(' ')}`).toSorted();
  expect(shown.size).toBeGreaterThan(60);
  expect(flat(table)).toStrictEqual(flat(shown));
});
