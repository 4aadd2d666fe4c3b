import { listYamlEntries } from './yaml-entries.ts';

/**
 * Sentences about keys (`smtp.port must be …`), each with the line of its key at the end: ` (line 12)`. A key that is not in the
 * text, because it is missing, gets the line of the mapping that it should be in; a missing top-level key gets none.
 * The text must be one that parseYamlMapping accepts.
 */
export function withLines(text: string, problems: readonly string[]): readonly string[] {
  const lines = new Map(
    listYamlEntries(text).map(({ path, line }) => [path.join('.').replaceAll('.[', '['), line]),
  );
  return problems.map((problem) => {
    let key = /^[\w.[\]-]+/.exec(problem)?.[0] ?? '';
    while (key !== '' && !lines.has(key)) key = key.replace(/(^|[.[])[^.[]*$/, '');
    const line = lines.get(key);
    return line === undefined ? problem : `${problem} (line ${line})`;
  });
}
