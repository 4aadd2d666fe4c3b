import { listYamlEntries } from './yaml-entries.ts';

/** Lines of the parts of a YAML document, from 1. */
export interface YamlPlaces {
  /** Line of the entry at this path (list items stand as `[n]`), of its first part, or of the nearest thing around it. */
  lineOf(path: readonly string[]): number;
}

/** The text must be one that parseYaml accepts. */
export function yamlPlaces(text: string): YamlPlaces {
  const lines = new Map<string, number>();
  for (const { path, line } of listYamlEntries(text)) {
    // An item of a list has no line of its own: that of its first key is taken.
    for (let length = path.length; length > 0; length -= 1) {
      const key = keyOf(path.slice(0, length));
      if (!lines.has(key)) lines.set(key, line);
    }
  }
  return {
    lineOf: (path) => {
      for (let length = path.length; length > 0; length -= 1) {
        const line = lines.get(keyOf(path.slice(0, length)));
        if (line !== undefined) return line;
      }
      return 1;
    },
  };
}

const keyOf = (path: readonly string[]): string => JSON.stringify(path);
