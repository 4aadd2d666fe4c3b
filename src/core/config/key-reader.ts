import { mappingOf } from './yaml.ts';

const YES = new Set(['true', 'yes', 'on']);
const NO = new Set(['false', 'no', 'off']);

/** Reads the keys of one mapping and gathers what is wrong with them, each as a sentence that starts with its key. */
export class KeyReader {
  readonly problems: string[];
  private readonly keys: Readonly<Record<string, unknown>>;
  private readonly prefix: string;

  constructor(keys: Readonly<Record<string, unknown>>, problems: string[] = [], prefix = '') {
    this.keys = keys;
    this.problems = problems;
    this.prefix = prefix;
  }

  problem(key: string, sentence: string): void {
    this.problems.push(`${this.prefix}${key} ${sentence}`);
  }

  /** The value as it stands; undefined when absent, null or empty text. */
  raw(key: string): unknown {
    const value = this.keys[key];
    return value === null || value === '' ? undefined : value;
  }

  /** The mapping under `key`; an empty one when absent. */
  below(key: string): KeyReader {
    const value = this.raw(key);
    const mapping = mappingOf(value);
    if (value !== undefined && mapping === undefined) this.problem(key, 'must be a mapping');
    return new KeyReader(mapping ?? {}, this.problems, `${this.prefix}${key}.`);
  }

  /** Numbers count as text, because YAML takes an unquoted `123` for one. */
  text(key: string): string | undefined {
    const value = this.raw(key);
    if (value === undefined || typeof value === 'string') return value;
    if (typeof value === 'number') return String(value);
    this.problem(key, 'must be text');
    return undefined;
  }

  /** A whole number; also as text, which is what upstream's wizard writes. */
  integer(key: string, range: { readonly from: number; readonly to: number }): number | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    const number = typeof value === 'string' ? Number(value) : value;
    if (typeof number === 'number' && Number.isInteger(number)) {
      if (number >= range.from && number <= range.to) return number;
    }
    this.problem(
      key,
      `must be a whole number from ${range.from} to ${range.to}, not ${JSON.stringify(value)}`,
    );
    return undefined;
  }

  /** Upstream reads YAML 1.1, where `yes` and `on` are true. */
  flag(key: string): boolean | undefined {
    const value = this.raw(key);
    if (value === undefined || typeof value === 'boolean') return value;
    const word = typeof value === 'string' ? value.toLowerCase() : '';
    if (YES.has(word)) return true;
    if (NO.has(word)) return false;
    this.problem(key, `must be true or false, not ${JSON.stringify(value)}`);
    return undefined;
  }

  /** One text or a list of texts. */
  texts(key: string): readonly string[] | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    const list = Array.isArray(value) ? (value as readonly unknown[]) : [value];
    const texts = list.filter((item) => typeof item === 'string');
    if (texts.length === list.length) return texts;
    this.problem(key, 'must be a text or a list of texts');
    return undefined;
  }

  /** A mapping of names to scalars, all as text. */
  textMap(key: string): Readonly<Record<string, string>> {
    const value = this.raw(key);
    if (value === undefined) return {};
    const entries = Object.entries(mappingOf(value) ?? { '': null });
    const texts = entries.flatMap(([name, item]) =>
      ['string', 'number', 'boolean'].includes(typeof item) ? [[name, String(item)] as const] : [],
    );
    if (texts.length !== entries.length) this.problem(key, 'must be a mapping of names to texts');
    return Object.fromEntries(texts);
  }
}
