import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

const HERE = import.meta.dirname;
const PAGE = path.join(HERE, '../../docs/weaknesses.md');

/** How many weaknesses were noted down, by group: a row of the page for each. */
const NOTED: Readonly<Record<string, number>> = {
  'Authentication and authorization': 20,
  Sockets: 12,
  'Runs and tasks': 17,
  'Other REST': 12,
  VPN: 14,
  'Configuration, import and operation': 11,
  'Clients and nodes': 8,
};

interface NamedTest {
  readonly file: string;
  readonly title: string;
}

interface Row {
  readonly group: string;
  readonly weakness: string;
  readonly answer: string;
  readonly tests: readonly NamedTest[];
}

function rowsOf(text: string): readonly Row[] {
  const rows: Row[] = [];
  let group = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('## ')) group = line.slice(3);
    const [, weakness, answer, tests] = /^\| (.+) \| (.+) \| (.+) \|$/.exec(line) ?? [];
    if (weakness === undefined || answer === undefined || tests === undefined) continue;
    if (tests === 'tests' || tests === '---') continue;
    rows.push({ group, weakness, answer, tests: tests.split('<br>').map(namedTest) });
  }
  return rows;
}

function namedTest(cell: string): NamedTest {
  const [, name, target, title] = /^\[([\w-]+)\]\(([^)]+)\): (.+)$/.exec(cell) ?? [];
  if (name === undefined || title === undefined) throw new Error(`no test is named: ${cell}`);
  const file = path.basename(target ?? '');
  if (target !== `../test/weaknesses/${name}.test.ts`) throw new Error(`a wrong link: ${cell}`);
  return { file, title };
}

/** Titles of the tests in a source; tests that do not run have none. */
function titlesOf(source: string): ReadonlySet<string> {
  const call =
    /\bit(?:\.each\((?:[^'"]|'[^'\n]*'|"[^"\n]*")*?\))?\(\s*(?:'([^'\n]+)'|"([^"\n]+)")/g;
  return new Set([...source.matchAll(call)].map(([, single, double]) => single ?? double ?? ''));
}

let rows: readonly Row[];
const titles = new Map<string, ReadonlySet<string>>();
beforeAll(async () => {
  rows = rowsOf(await readFile(PAGE, 'utf8'));
  for (const file of (await readdir(HERE)).filter((name) => name.endsWith('.test.ts')))
    titles.set(file, titlesOf(await readFile(path.join(HERE, file), 'utf8')));
});

describe('docs/weaknesses.md', () => {
  it('has one row for each weakness', () => {
    const counted: Record<string, number> = {};
    for (const { group } of rows) counted[group] = (counted[group] ?? 0) + 1;
    expect(counted).toStrictEqual(NOTED);
    expect(new Set(rows.map(({ weakness }) => weakness)).size).toBe(rows.length);
  });

  it('names tests that exist, under their titles', () => {
    const missing = rows.flatMap(({ tests }) =>
      tests.filter(({ file, title }) => titles.get(file)?.has(title) !== true),
    );
    expect(missing).toStrictEqual([]);
  });

  it('takes no test for two weaknesses', () => {
    const all = rows.flatMap(({ tests }) => tests.map(({ file, title }) => `${file} ${title}`));
    expect(all.filter((one, at) => all.indexOf(one) !== at)).toStrictEqual([]);
  });
});
