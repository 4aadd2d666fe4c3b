import { V6Error } from '../errors.ts';
import {
  BLOCKS,
  type Block,
  DIRECTIVES,
  type Directive,
  isBlock,
  isDirective,
} from './client-directives.ts';

/** A client config taken apart: directives and inline blocks that passed the allow-list. */
export interface ClientFile {
  all(word: Directive): readonly { readonly line: number; readonly value: string }[];
  /** The last of its kind, which is the one that OpenVPN obeys. */
  last(word: Directive): { readonly line: number; readonly value: string } | undefined;
  /** PEM or static key of a block, without what stands around it, with a final newline. */
  block(name: Block): string | undefined;
}

/** Real files have about 6 kB. */
const LIMIT_BYTES = 64 * 1024;

/**
 * Reads line by line: CRLF and LF, a byte order mark, comments (`#`, `;`), directives, inline blocks.
 * Throws V6_VPN_CONFIG_INVALID naming line and directive.
 */
export function readClientFile(text: string): ClientFile {
  if (text.length > LIMIT_BYTES) throw invalid(0, 'file', `is longer than ${LIMIT_BYTES} bytes`);
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  const found: { word: Directive; line: number; value: string }[] = [];
  const blocks = new Map<Block, string>();
  for (let at = 0; at < lines.length; at += 1) {
    const line = (lines[at] ?? '').trim();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    if (!line.startsWith('<')) {
      found.push(directive(line, at + 1));
      continue;
    }
    const name = blockName(line, at + 1);
    const end = lines.findIndex((other, i) => i > at && other.trim() === `</${name}>`);
    if (end === -1) throw invalid(at + 1, name, 'has no end');
    if (blocks.has(name)) throw invalid(at + 1, name, 'occurs twice');
    blocks.set(name, pemOf(name, lines.slice(at + 1, end).join('\n'), at + 1));
    at = end;
  }
  const all = (word: Directive) => found.filter((entry) => entry.word === word);
  return { all, last: (word) => all(word).at(-1), block: (name) => blocks.get(name) };
}

function directive(line: string, number: number): { word: Directive; line: number; value: string } {
  const [word = '', ...rest] = line.split(/[ \t]+/);
  if (!isDirective(word)) {
    throw invalid(number, printable(word), 'is not among the directives that a node accepts');
  }
  const value = unquoted(word, withoutComment(rest).join(' '));
  if (!DIRECTIVES[word].test(value)) {
    throw invalid(
      number,
      word,
      `has a value that a node does not accept: ${printable(value) || 'none'}`,
    );
  }
  return { word, line: number, value };
}

/** OpenVPN takes a word that starts with `#` or `;` as the start of a comment. */
function withoutComment(words: readonly string[]): readonly string[] {
  const at = words.findIndex((word) => word.startsWith('#') || word.startsWith(';'));
  return at === -1 ? words : words.slice(0, at);
}

/** Only a name to verify is ever quoted in files that portals make. */
function unquoted(word: Directive, value: string): string {
  return word === 'verify-x509-name' ? value.replace(/^(["'])([^"'\\\s]+)\1(?= |$)/, '$2') : value;
}

function blockName(line: string, number: number): Block {
  const name = /^<([a-z0-9-]+)>$/.exec(line)?.[1] ?? '';
  if (isBlock(name)) return name;
  throw invalid(number, printable(line), 'is not among the inline blocks that a node accepts');
}

const PEM = {
  certificates: /-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----/g,
  key: /-----BEGIN ((?:EC |RSA )?PRIVATE KEY)-----\n[A-Za-z0-9+/=\n]+\n-----END \1-----/g,
  static:
    /-----BEGIN OpenVPN Static key V1-----\n(?:[0-9a-fA-F]+\n)+-----END OpenVPN Static key V1-----/g,
} as const;

function pemOf(name: Block, content: string, line: number): string {
  const kind = BLOCKS[name];
  const trimmed = content.replace(/[ \t\r]+$/gm, '');
  const found = trimmed.match(PEM[kind]) ?? [];
  if (found.length === 0) throw invalid(line, name, 'holds nothing that can be read');
  if (kind !== 'certificates' && found.length > 1) throw invalid(line, name, 'holds several keys');
  return `${found.join('\n')}\n`;
}

/** What a stranger wrote, short and without control characters, so that it can stand in a message. */
function printable(text: string): string {
  const clean = text.replace(/[^\x20-\x7e]/g, '?');
  return clean.length > 40 ? `${clean.slice(0, 40)}…` : clean;
}

function invalid(line: number, word: string, what: string): V6Error {
  return new V6Error(
    'V6_VPN_CONFIG_INVALID',
    line === 0 ? `The client config ${what}` : `Line ${line} of the client config: ${word} ${what}`,
    {
      hints: [
        'A node accepts only what eduVPN and the embedded portal write: remove the line at the portal.',
      ],
      details: { line, directive: word },
    },
  );
}
