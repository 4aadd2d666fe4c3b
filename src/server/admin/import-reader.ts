import { mappingOf } from '../../core/config/yaml.ts';
import type { YamlPlaces } from '../../core/config/yaml-places.ts';

/** Where problems of the whole file are gathered. */
export interface ImportProblems {
  readonly places: YamlPlaces;
  /** Sentences with their lines. */
  readonly found: { readonly line: number; readonly sentence: string }[];
}

/**
 * Reads one mapping of an import file. Scalars are taken as they are written, so that a house number 007 stays 007; only an
 * empty value, `~` and `null` are nothing.
 */
export class ImportReader {
  readonly line: number;
  private readonly typed: Readonly<Record<string, unknown>>;
  private readonly written: Readonly<Record<string, unknown>>;
  private readonly path: readonly string[];
  private readonly problems: ImportProblems;

  constructor(
    value: { readonly typed: unknown; readonly written: unknown },
    path: readonly string[],
    problems: ImportProblems,
  ) {
    this.line = problems.places.lineOf(path);
    this.path = path;
    this.problems = problems;
    const typed = mappingOf(value.typed);
    if (typed === undefined) this.problem(undefined, `must be a mapping of keys`);
    this.typed = typed ?? {};
    this.written = mappingOf(value.written) ?? {};
  }

  problem(key: string | undefined, sentence: string): void {
    const path = key === undefined ? this.path : [...this.path, key];
    const name = path.filter((part) => !part.startsWith('[')).at(-1) ?? 'the document';
    const line = this.problems.places.lineOf(path);
    this.problems.found.push({ line, sentence: `${name} ${sentence}` });
  }

  has(key: string): boolean {
    return Object.hasOwn(this.typed, key);
  }

  /** Undefined when the key is not there, null when it is empty. */
  text(key: string): string | null | undefined {
    if (!this.has(key)) return undefined;
    const value = this.typed[key];
    if (value === null || value === undefined || value === '') return null;
    if (typeof value === 'object') {
      this.problem(key, 'must be text');
      return null;
    }
    const written = this.written[key];
    return typeof written === 'string' ? written : '';
  }

  /** A text that has to be there; a problem and an empty text otherwise. */
  required(key: string): string {
    const value = this.text(key);
    if (typeof value === 'string') return value;
    this.problem(key, this.has(key) ? 'must not be empty' : 'is missing');
    return '';
  }

  flag(key: string): boolean | undefined {
    const value = this.text(key);
    if (typeof value !== 'string') return undefined;
    if (/^(true|yes|on)$/i.test(value)) return true;
    if (/^(false|no|off)$/i.test(value)) return false;
    this.problem(key, `must be true or false, not ${JSON.stringify(value)}`);
    return undefined;
  }

  /** The items of a list, each read by `read`; none when the key is absent or empty. */
  items<T>(key: string, read: (item: ImportReader) => T): readonly T[] {
    return this.list(key).map((typed, at) => {
      const written = listOf(this.written[key])[at];
      return read(
        new ImportReader({ typed, written }, [...this.path, key, `[${at}]`], this.problems),
      );
    });
  }

  /** The items of a list of texts; undefined when the key is absent. */
  texts(key: string): readonly string[] | undefined {
    if (!this.has(key)) return undefined;
    return this.list(key).flatMap((typed, at) => {
      const written = listOf(this.written[key])[at];
      if (typeof written === 'string' && typed !== null && typed !== '') return [written];
      this.problem(key, 'must be a list of texts');
      return [];
    });
  }

  /** A misspelled key must not be passed over in silence. */
  refuseOthers(known: readonly string[]): void {
    for (const key of Object.keys(this.typed))
      if (!known.includes(key))
        this.problem(key, `is not known here; known are ${known.join(', ')}`);
  }

  private list(key: string): readonly unknown[] {
    const value = this.typed[key];
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value as readonly unknown[];
    this.problem(key, 'must be a list');
    return [];
  }
}

const listOf = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? (value as unknown[]) : [];
