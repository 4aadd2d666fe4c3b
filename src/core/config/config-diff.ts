import { listYamlEntries } from './yaml-entries.ts';

// Wider than the portal's own secrets: the lines around the block may hold others.
const SECRET_NAME = /pass|secret|token|key|uri|connection_string/i;

/**
 * What changed between two YAML texts as lines with `-` and `+`, with up to two unchanged lines around; empty when nothing did.
 * Values of keys that look secret are replaced, in the unchanged lines too; a changed one is marked as old and new.
 * Both texts must be ones that parseYaml accepts.
 */
export function diffWithoutSecrets(before: string, after: string): string {
  if (before === after) return '';
  const old = secretsOf(before);
  const now = secretsOf(after);
  const a = splitLines(
    hide(before, (path) => (old.get(path) === now.get(path) ? '[hidden]' : '[hidden: old]')),
  );
  const b = splitLines(
    hide(after, (path) => (old.get(path) === now.get(path) ? '[hidden]' : '[hidden: new]')),
  );
  return renderDiff(a, b);
}

/** The text with `[hidden]` in the place of every value of a key that looks secret. */
export function hideSecrets(text: string): string {
  return hide(text, () => '[hidden]');
}

function secretsOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    listYamlEntries(text)
      .filter(({ path }) => SECRET_NAME.test(path.at(-1) ?? ''))
      .map(({ path, value }) => [path.join('\n'), text.slice(value.start, value.end)]),
  );
}

function hide(text: string, mark: (path: string) => string): string {
  let out = text;
  const secret = listYamlEntries(text).filter(
    ({ path, value }) =>
      SECRET_NAME.test(path.at(-1) ?? '') &&
      (value.kind === 'scalar' || value.kind === 'block-scalar'),
  );
  for (const { path, value } of secret.toReversed()) {
    // A block scalar ends behind its line end, which stays.
    const end = out.slice(0, value.end).trimEnd().length;
    // A comment behind a secret may be an older one.
    const rest = /^[ \t]*#[^\r\n]*/.exec(out.slice(end))?.[0].length ?? 0;
    out = out.slice(0, value.start) + mark(path.join('\n')) + out.slice(end + rest);
  }
  return out;
}

function splitLines(text: string): readonly string[] {
  const lines = text.split(/\r?\n/);
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines;
}

const CONTEXT_LINES = 2;

function renderDiff(a: readonly string[], b: readonly string[]): string {
  let head = 0;
  while (head < Math.min(a.length, b.length) && a[head] === b[head]) head += 1;
  let tail = 0;
  while (
    tail < Math.min(a.length, b.length) - head &&
    a[a.length - 1 - tail] === b[b.length - 1 - tail]
  )
    tail += 1;
  const middle = compare(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  const before = a.slice(Math.max(0, head - CONTEXT_LINES), head);
  const after = a.slice(a.length - tail, a.length - tail + CONTEXT_LINES);
  const lines = [
    ...before.map((line) => `  ${line}`),
    ...middle,
    ...after.map((line) => `  ${line}`),
  ];
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

// Longest common subsequence; the changed part of a configuration is a few dozen lines.
function compare(a: readonly string[], b: readonly string[]): readonly string[] {
  const table = Array.from({ length: a.length + 1 }, () => Array<number>(b.length + 1).fill(0));
  const at = (i: number, j: number): number => table[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const row = table[i];
      if (row !== undefined)
        row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  const lines: string[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push(`  ${a[i]}`);
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) {
      lines.push(`- ${a[i]}`);
      i += 1;
    } else {
      lines.push(`+ ${b[j]}`);
      j += 1;
    }
  }
  return lines;
}
