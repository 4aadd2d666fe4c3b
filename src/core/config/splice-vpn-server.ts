import { V6Error } from '../errors.ts';
import { PORTAL_KEYS, type PortalKey, type PortalValues } from './portal-settings.ts';
import { lineEnd, lineEndAt, lineStart } from './text-lines.ts';
import { VPN_SERVER } from './vpn-server-block.ts';
import { mappingOf, parseYamlAsWritten, parseYamlMapping } from './yaml.ts';
import { listYamlEntries, type YamlEntry } from './yaml-entries.ts';

/**
 * The text with its `vpn_server` block set to `values`; every byte outside the block stays, and inside it comments, order and
 * keys that are not ours. Values that are already there stay as written; keys without a value are taken out. Without a block
 * one is added at the end. The result is read again: only `vpn_server` may differ.
 * Throws V6_CONFIG_SYNTAX, and V6_CONFIG_INVALID when the file is written in a way that cannot be edited in place.
 */
export function spliceVpnServer(text: string, values: PortalValues, file: string): string {
  const keys = parseYamlMapping(text, file);
  const entries = listYamlEntries(text);
  const top = entries.filter(({ path }) => path.length === 1);
  if (top.some(({ isFlow }) => isFlow)) throw notEditable(file, 'the whole file is in braces');
  const block = top.find(({ path }) => path[0] === VPN_SERVER);
  const candidates =
    block === undefined
      ? appended(text, top, values)
      : changed(text, entries, block, values, isPlainBlock(keys[VPN_SERVER]));
  const good = candidates.find((candidate) => isFaithful(text, candidate, values, file));
  if (good === undefined) {
    const line = block === undefined ? '' : `, line ${block.line}`;
    throw notEditable(file, `${VPN_SERVER}${line} shares an anchor or a line with other keys`);
  }
  return good;
}

function notEditable(file: string, why: string): V6Error {
  return new V6Error('V6_CONFIG_INVALID', `${file} cannot be edited in place: ${why}`, {
    hints: [
      `Write "${VPN_SERVER}:" on a line of its own in ${file} and its keys below it, indented by two spaces.`,
    ],
    details: { file },
  });
}

function isPlainBlock(value: unknown): boolean {
  return mappingOf(value) !== undefined;
}

/** Double quotes mean the same in YAML 1.1 and 1.2, whatever the value looks like. */
function quoted(value: string): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff]/g,
    (char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

function linesOf(values: PortalValues, indent: string): string[] {
  return PORTAL_KEYS.flatMap((key) => {
    const value = values[key] ?? '';
    return value === '' ? [] : [`${indent}${key}: ${quoted(value)}`];
  });
}

function indentAt(text: string, keyStart: number): string {
  const start = lineStart(text, keyStart);
  return text.slice(start, keyStart).replace(/^\uFEFF/, '');
}

/** The block at the end: with an empty line before it, or without where that line would belong to the last value. */
function appended(text: string, top: readonly YamlEntry[], values: PortalValues): string[] {
  const last = top.at(-1);
  const from = last === undefined ? 0 : Math.max(last.value.end, last.keyEnd);
  const marker = /^\.\.\.(?=\s|$)/m.exec(text.slice(from));
  const at = marker === null ? text.length : from + marker.index;
  const indent = top[0] === undefined ? '' : indentAt(text, top[0].keyStart);
  const eol = lineEndAt(text, at);
  const isLineOpen = at > 0 && text[at - 1] !== '\n';
  const before = text.slice(0, at) + (isLineOpen ? eol : '');
  const block = [`${indent}${VPN_SERVER}:`, ...linesOf(values, `${indent}  `)].join(eol);
  // A file without a line end at its end keeps that property.
  const end = isLineOpen && at === text.length ? '' : eol;
  const gap = /(^|\n)[ \t]*\r?\n$/.test(before) || before === '' ? '' : eol;
  const after = text.slice(at);
  return [before + gap + block + end + after, before + block + end + after];
}

function changed(
  text: string,
  entries: readonly YamlEntry[],
  block: YamlEntry,
  values: PortalValues,
  hasKeys: boolean,
): string[] {
  const children = entries.filter(({ path }) => path.length === 2 && path[0] === VPN_SERVER);
  const edited =
    hasKeys && block.value.kind === 'mapping' ? edit(text, children, values) : undefined;
  const replaced = replace(text, entries, block, values);
  return edited === undefined ? [replaced] : [edited, replaced];
}

/** Key by key. Undefined when a value of ours is a collection or an alias. */
function edit(
  text: string,
  children: readonly YamlEntry[],
  values: PortalValues,
): string | undefined {
  const first = children[0];
  if (first === undefined || children.some(({ isFlow }) => isFlow)) return undefined;
  const indent = indentAt(text, first.keyStart);
  if (indent.trim() !== '') return undefined;
  const cuts: { start: number; end: number; text: string }[] = [];
  for (const entry of children) {
    const key = entry.path[1] as PortalKey;
    if (!PORTAL_KEYS.includes(key)) continue;
    const cut = cutFor(text, entry, values[key] ?? '');
    if (cut === undefined) return undefined;
    if (cut !== 'keep') cuts.push(cut);
  }
  const present = children.map(({ path }) => path[1]);
  const missing = PORTAL_KEYS.filter((key) => !present.includes(key));
  const added = linesOf(Object.fromEntries(missing.map((key) => [key, values[key] ?? ''])), indent);
  if (added.length > 0) cuts.push(insertion(text, children, added));
  cuts.sort((a, b) => b.start - a.start);
  let out = text;
  for (const cut of cuts) out = out.slice(0, cut.start) + cut.text + out.slice(cut.end);
  return out;
}

function cutFor(
  text: string,
  entry: YamlEntry,
  wanted: string,
): { start: number; end: number; text: string } | 'keep' | undefined {
  const { kind, start } = entry.value;
  if (kind !== 'scalar' && kind !== 'block-scalar' && kind !== 'empty') return undefined;
  // A block scalar takes the empty lines behind it along; they are not its own.
  const end = text.slice(0, entry.value.end).trimEnd().length;
  if (wanted === '') {
    const last = lineEnd(text, Math.max(end - 1, entry.keyStart));
    return { start: lineStart(text, entry.keyStart), end: last, text: '' };
  }
  if (kind === 'empty') {
    const colon = text.indexOf(':', entry.keyEnd) + 1;
    return { start: colon, end: colon, text: ` ${quoted(wanted)}` };
  }
  if (kind === 'scalar' && writtenAt(text, entry) === wanted) return 'keep';
  const sign = kind === 'scalar' ? start : text.indexOf(':', entry.keyEnd) + 2;
  return { start: sign, end, text: quoted(wanted) };
}

function writtenAt(text: string, entry: YamlEntry): unknown {
  const line = `x: ${text.slice(entry.value.start, entry.value.end)}\n`;
  try {
    const typed = mappingOf(parseYamlMapping(line, ''))?.x;
    return typed === null ? undefined : mappingOf(parseYamlAsWritten(line, ''))?.x;
  } catch {
    // An anchor's or alias's meaning depends on the rest of the file.
    return undefined;
  }
}

// Behind the last line of the block's last key, whatever that key is.
function insertion(text: string, children: readonly YamlEntry[], added: readonly string[]) {
  const last = children.at(-1);
  const at = lineEnd(text, Math.max((last?.value.end ?? 0) - 1, last?.keyEnd ?? 0));
  const eol = lineEndAt(text, at);
  const isLineOpen = text[at - 1] !== '\n';
  const lines = added.join(eol);
  return { start: at, end: at, text: isLineOpen ? eol + lines : lines + eol };
}

/** The whole block anew. Its comments that have a line of their own move to the top of the new one. */
function replace(
  text: string,
  entries: readonly YamlEntry[],
  block: YamlEntry,
  values: PortalValues,
): string {
  const start = lineStart(text, block.keyStart);
  const indent = indentAt(text, block.keyStart);
  const end = blockEnd(text, entries, block, indent.length);
  const eol = lineEndAt(text, Math.min(end, text.length));
  const old = text.slice(block.keyStart, end);
  const lastValue = block.value.kind === 'empty' ? block.keyEnd : block.value.end;
  const comments = old
    .split(/\r?\n/)
    .slice(1)
    .filter((line) => line.trim().startsWith('#') && block.value.kind !== 'block-scalar')
    .map((line) => `${indent}  ${line.trim()}`);
  const keyLine = /^[^\n]*?:[ \t]*(#[^\r\n]*)?\r?$/m.exec(old.slice(0, lineEnd(old, 0)));
  const trailing = keyLine?.[1] === undefined || lastValue < block.keyStart ? '' : ` ${keyLine[1]}`;
  const lines = [
    `${indent}${VPN_SERVER}:${trailing}`,
    ...comments,
    ...linesOf(values, `${indent}  `),
  ];
  const isLineOpen = text[end - 1] !== '\n';
  const bom = text.startsWith('\uFEFF') && start === 0 ? '\uFEFF' : '';
  return text.slice(0, start) + bom + lines.join(eol) + (isLineOpen ? '' : eol) + text.slice(end);
}

/** Behind the block's last line: empty lines and comments that are not indented deeper than its key belong to what follows. */
function blockEnd(
  text: string,
  entries: readonly YamlEntry[],
  block: YamlEntry,
  indent: number,
): number {
  const next = entries.find(({ path, keyStart }) => path.length === 1 && keyStart > block.keyStart);
  let limit = next === undefined ? text.length : lineStart(text, next.keyStart);
  const lastToken = Math.max(block.value.end, block.keyEnd);
  const marker = /^\.\.\.(?=\s|$)/m.exec(text.slice(lastToken, limit));
  if (marker !== null) limit = lastToken + marker.index;
  let end = lineEnd(text, block.keyStart);
  let hasLeft = false;
  for (let at = end; at < limit; at = lineEnd(text, at)) {
    const line = text.slice(at, lineEnd(text, at));
    const column = line.length - line.trimStart().length;
    if (line.trim() === '') continue;
    const isComment = line.trimStart().startsWith('#');
    hasLeft = isComment && (hasLeft || column <= indent);
    if (!hasLeft) end = lineEnd(text, at);
  }
  return end;
}

/** Whether only `vpn_server` differs, and it says what was asked for. */
function isFaithful(before: string, after: string, values: PortalValues, file: string): boolean {
  try {
    const old = parseYamlMapping(before, file);
    const now = parseYamlMapping(after, file);
    const block = mappingOf(mappingOf(parseYamlAsWritten(after, file))?.[VPN_SERVER]);
    return (
      block !== undefined &&
      others(old, [VPN_SERVER]) === others(now, [VPN_SERVER]) &&
      // A key of the block that we do not know must not get lost.
      others(mappingOf(old[VPN_SERVER]) ?? {}, PORTAL_KEYS) ===
        others(mappingOf(now[VPN_SERVER]) ?? {}, PORTAL_KEYS) &&
      PORTAL_KEYS.every((key) => (block[key] ?? '') === (values[key] ?? ''))
    );
  } catch {
    return false;
  }
}

// JSON keeps the order of keys; YAML's .inf and .nan would both become null, so they are named.
function others(keys: Readonly<Record<string, unknown>>, known: readonly string[]): string {
  return JSON.stringify(
    Object.entries(keys).filter(([key]) => !known.includes(key)),
    (_key, value: unknown) =>
      typeof value === 'number' && !Number.isFinite(value) ? `number ${value}` : value,
  );
}
