import { V6Error } from '../errors.ts';
import { isRecord, type Unknowns } from '../protocol/json.ts';
import type { FilterChain, FilterRule, FilterTable, Match, Verdict } from './packet-filter.ts';

/** What `nft -j list …` prints, read: tables with chains and rules, and the elements of sets. */
export interface NftListing {
  /** By `inet v6guard`. */
  readonly tables: ReadonlyMap<string, FilterTable>;
  /** By `inet v6guard owners`. */
  readonly sets: ReadonlyMap<string, NftSet>;
}

export interface NftSet {
  readonly type: string;
  readonly elements: readonly NftElement[];
}

export interface NftElement {
  /** Parts of a concatenation with ` . ` between. */
  readonly value: string;
  readonly comment?: string;
}

type Draft = FilterChain & { readonly rules: FilterRule[] };

/** Values of a record as nft names things: `inet v6guard to_host`. */
const words = (record: Unknowns, ...keys: readonly string[]): string =>
  keys.map((key) => String(record[key])).join(' ');

/** Throws V6_FIREWALL_READ for what is not JSON of nft. */
export function parseNft(text: string): NftListing {
  const tables = new Map<string, Map<string, Draft>>();
  const sets = new Map<string, NftSet>();
  const chainsOf = (table: string): Map<string, Draft> => {
    const found = tables.get(table) ?? new Map<string, Draft>();
    tables.set(table, found);
    return found;
  };
  for (const item of listOf(text)) {
    const { table, chain, set, rule } = item;
    if (isRecord(table)) chainsOf(words(table, 'family', 'name'));
    if (isRecord(set)) sets.set(words(set, 'family', 'table', 'name'), parseSet(set));
    if (isRecord(chain)) {
      const name = String(chain.name);
      const base = baseOf(chain);
      const draft: Draft = { name, ...(base === undefined ? {} : { base }), rules: [] };
      chainsOf(words(chain, 'family', 'table')).set(name, draft);
    }
    if (isRecord(rule)) {
      const draft = chainsOf(words(rule, 'family', 'table')).get(String(rule.chain));
      draft?.rules.push(...parseRule(rule));
    }
  }
  return {
    tables: new Map(
      [...tables].map(([name, chains]) => [name, { where: `table ${name}`, chains } as const]),
    ),
    sets,
  };
}

function listOf(text: string): readonly Unknowns[] {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value) && Array.isArray(value.nftables)) return value.nftables.filter(isRecord);
  } catch {
    // Said below.
  }
  throw new V6Error('V6_FIREWALL_READ', `nft did not print JSON: ${text.slice(0, 200)}`, {
    details: { output: text.slice(0, 1000) },
  });
}

function baseOf(chain: Unknowns): FilterChain['base'] {
  if (typeof chain.hook !== 'string' || chain.type !== 'filter') return undefined;
  return {
    hook: chain.hook,
    priority: Number(chain.prio),
    policy: chain.policy === 'drop' ? 'drop' : 'accept',
  };
}

function parseSet({ type, elem }: Unknowns): NftSet {
  const elements = (Array.isArray(elem) ? elem : []).map((found: unknown): NftElement => {
    const wrapped = isRecord(found) && isRecord(found.elem) ? found.elem : undefined;
    const value = valueText(wrapped === undefined ? found : wrapped.val);
    return typeof wrapped?.comment === 'string' ? { value, comment: wrapped.comment } : { value };
  });
  return { type: Array.isArray(type) ? type.join(' . ') : String(type), elements };
}

/** One value as nft writes it in a rule. */
function valueText(value: unknown): string {
  if (!isRecord(value)) return String(value);
  if (Array.isArray(value.concat)) return value.concat.map(valueText).join(' . ');
  if (Array.isArray(value.range)) return value.range.map(valueText).join('-');
  if (isRecord(value.prefix)) return words(value.prefix, 'addr', 'len').replace(' ', '/');
  if (isRecord(value.elem)) return valueText(value.elem.val);
  return '?';
}

function valuesOf(right: unknown): readonly string[] {
  if (Array.isArray(right)) return right.map(valueText);
  if (isRecord(right) && Array.isArray(right.set)) return right.set.map(valueText);
  return [valueText(right)];
}

const META: Readonly<Record<string, Match['field']>> = {
  iifname: 'iif',
  oifname: 'oif',
  iif: 'iif',
  oif: 'oif',
  l4proto: 'protocol',
  nfproto: 'family',
};
const PAYLOAD: Readonly<Record<string, Match['field']>> = {
  'ip saddr': 'saddr',
  'ip daddr': 'daddr',
  'ip protocol': 'protocol',
};

/** The field that an expression reads, and the protocol that it implies. */
function fieldOf(left: unknown): { readonly field: Match['field']; readonly protocol?: string } {
  if (!isRecord(left)) return { field: 'other' };
  const { meta, ct, payload } = left;
  if (isRecord(meta)) return { field: META[String(meta.key)] ?? 'other' };
  if (isRecord(ct)) return { field: ct.key === 'state' ? 'state' : 'other' };
  if (isRecord(payload)) {
    const { protocol, field } = payload;
    const known = PAYLOAD[words(payload, 'protocol', 'field')];
    if (known !== undefined) return { field: known };
    if (field !== 'dport' && field !== 'sport') return { field: 'other' };
    return protocol === 'th' ? { field } : { field, protocol: String(protocol) };
  }
  if (Array.isArray(left.concat)) return { field: 'lookup' };
  return { field: 'other' };
}

function parseMatch({ op, left, right }: Unknowns): readonly Match[] {
  const { field, protocol } = fieldOf(left);
  const isNot = op === '!=';
  const values = valuesOf(right);
  if (field === 'lookup') return [{ field, isNot, values: [...concatWords(left), ...values] }];
  // A named set, and comparisons that are no list of values, are beyond us.
  const isPlain = (op === '==' || op === 'in' || op === '!=') && !values.some(isBeyond);
  const implied: readonly Match[] =
    protocol === undefined ? [] : [{ field: 'protocol', isNot: false, values: [protocol] }];
  return [...implied, { field: isPlain ? field : 'other', isNot, values }];
}

const isBeyond = (value: string): boolean => value.startsWith('@') || value === '?';

function concatWords(left: unknown): readonly string[] {
  const parts = isRecord(left) && Array.isArray(left.concat) ? left.concat : [];
  return parts.map((part: unknown) => fieldOf(part).field);
}

const SILENT = new Set(['counter', 'log', 'limit', 'mangle', 'quota', 'notrack', 'set', 'meter']);

/** A rule; one with a map of verdicts becomes a rule for each of its elements. */
function parseRule({ expr, comment, handle }: Unknowns): readonly FilterRule[] {
  const matches: Match[] = [];
  let verdict: Verdict = { kind: 'continue' };
  for (const part of Array.isArray(expr) ? expr.filter(isRecord) : []) {
    const [word = ''] = Object.keys(part);
    const value = part[word];
    if (word === 'match' && isRecord(value)) matches.push(...parseMatch(value));
    else if (word === 'vmap' && isRecord(value)) return expandMap(value, matches, handle);
    else if (word === 'limit')
      matches.push({ field: 'other', isNot: false, values: ['a limit of the rate'] });
    else if (!SILENT.has(word)) verdict = verdictOf(word, value, matches);
  }
  return [finish(matches, verdict, handle, comment)];
}

function verdictOf(word: string, value: unknown, matches: Match[]): Verdict {
  if (word === 'accept' || word === 'drop' || word === 'return' || word === 'continue')
    return { kind: word };
  if (word === 'reject') return { kind: 'drop' };
  // In a chain of the type nat; it ends there.
  if (word === 'masquerade') return { kind: 'accept' };
  if ((word === 'jump' || word === 'goto') && isRecord(value))
    return { kind: word, chain: String(value.target) };
  // A module of iptables: its match may say anything, its target too.
  matches.push({ field: 'other', isNot: false, values: [word] });
  const isMatch = isRecord(value) && value.type === 'match';
  return { kind: isMatch ? 'continue' : 'other' };
}

function expandMap(
  { key, data }: Unknowns,
  matches: readonly Match[],
  handle: unknown,
): readonly FilterRule[] {
  const { field } = fieldOf(key);
  const pairs: readonly unknown[] = isRecord(data) && Array.isArray(data.set) ? data.set : [];
  if (pairs.length === 0) return [finish([...matches], { kind: 'other' }, handle)];
  return pairs.flatMap((pair): readonly FilterRule[] => {
    const [value, end] = Array.isArray(pair) ? (pair as unknown[]) : [];
    const [word = ''] = isRecord(end) ? Object.keys(end) : [];
    const fits = [...matches, { field, isNot: false, values: [valueText(value)] }];
    const verdict = verdictOf(word, isRecord(end) ? end[word] : undefined, []);
    return [finish(fits, verdict, handle)];
  });
}

function finish(
  matches: readonly Match[],
  verdict: Verdict,
  handle: unknown,
  comment?: unknown,
): FilterRule {
  const text = [
    ...matches.map(
      ({ field, isNot, values }) => `${field}${isNot ? ' != ' : ' '}${values.join(',')}`,
    ),
    'chain' in verdict ? `${verdict.kind} ${verdict.chain}` : verdict.kind,
    ...(handle === undefined ? [] : [`# handle ${Number(handle)}`]),
  ].join(' ');
  return typeof comment === 'string'
    ? { matches, verdict, text, comment }
    : { matches, verdict, text };
}
