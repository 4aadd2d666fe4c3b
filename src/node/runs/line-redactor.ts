import { redactText } from '../../core/redact.ts';

/** Blocks of several lines that hold secrets, each with what ends it. `redactText` knows the same ones. */
const BLOCKS: readonly (readonly [begin: RegExp, end: RegExp])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----/, /-----END [A-Z ]*PRIVATE KEY-----/],
  [/-----BEGIN OpenVPN Static key V1-----/, /-----END OpenVPN Static key V1-----/],
  [/<(?:key|tls-crypt|tls-auth)>/, /<\/(?:key|tls-crypt|tls-auth)>/],
];
const LONGEST_LINE = 16 * 1024;
const TOO_LONG = '[a line of more than 16 kB]';

/**
 * Cuts the output of an algorithm into lines as others may read them while it runs: without tokens and keys, also where these
 * come in several lines or pieces. A line without end is left out, because a secret in it could be cut in two.
 */
export class LineRedactor {
  readonly #token: string | undefined;
  #rest = '';
  #isTooLong = false;
  #until: RegExp | undefined;

  constructor(token: string | undefined) {
    this.#token = token;
  }

  /** The lines that became complete with this chunk. */
  push(chunk: string): readonly string[] {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    const first = this.#isTooLong && lines.length > 0 ? [lines.shift() ?? ''] : [];
    const clean = [...first.map(() => TOO_LONG), ...lines.flatMap((line) => this.#clean(line))];
    if (first.length > 0) this.#isTooLong = false;
    if (this.#rest.length > LONGEST_LINE || this.#isTooLong) {
      this.#rest = '';
      this.#isTooLong = true;
    }
    return clean;
  }

  #clean(line: string): string[] {
    const text = line.replace(/\r$/, '');
    if (this.#until !== undefined) {
      if (this.#until.test(text)) this.#until = undefined;
      return [];
    }
    if (text.length > LONGEST_LINE) return [TOO_LONG];
    for (const [begin, end] of BLOCKS) {
      const at = text.search(begin);
      if (at >= 0 && !end.test(text.slice(at))) this.#until = end;
    }
    const token = this.#token;
    return [redactText(token === undefined ? text : text.replaceAll(token, '[token]'))];
  }
}
