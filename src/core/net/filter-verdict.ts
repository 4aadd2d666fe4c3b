import { ipv4ToNumber } from './ipv4.ts';
import {
  chainPlace,
  type FilterRule,
  type FilterTable,
  type Match,
  type MatchField,
} from './packet-filter.ts';

/** Packets of one kind. What is absent can be anything. */
export interface Flow {
  /** For people: `between an algorithm and the VPN client`. */
  readonly name: string;
  readonly hook: 'forward' | 'input';
  readonly iif?: string;
  readonly oif?: string;
  /** An address, or a network that all of them are in. */
  readonly saddr?: string;
  readonly daddr?: string;
  readonly protocol?: 'tcp' | 'udp';
  readonly sport?: number;
  readonly dport?: number;
  readonly state: 'new' | 'established';
  /** Stays on one bridge, and is seen here only because bridge-nf-call-iptables is on. */
  readonly isBridged: boolean;
}

/** What becomes of a flow in a base chain: certain, or as far as we understand the rules. */
export interface Judgement {
  readonly fate: 'passes' | 'may-drop' | 'drops';
  /** Chain and rule that drop it; empty for what passes. */
  readonly where: string;
  readonly rule: string;
}

export interface JudgeOptions {
  /** Chains that let the flow through whatever stands in them: the engine's own, for its own networks. */
  readonly trusted?: (chain: string) => boolean;
}

interface End {
  readonly verdict: 'accept' | 'drop';
  readonly where: string;
  readonly rule: string;
}

interface Walk {
  readonly table: FilterTable;
  readonly flow: Flow;
  readonly trusted: (chain: string) => boolean;
  /** Ends that come about if a match that we do not understand fits. */
  readonly doubts: End[];
}

const DEPTH_LIMIT = 32;

/** Follows the flow through a base chain and every chain that it may jump to. */
export function judge(
  table: FilterTable,
  baseChain: string,
  flow: Flow,
  options: JudgeOptions = {},
): Judgement {
  const walk = { table, flow, trusted: options.trusted ?? (() => false), doubts: [] };
  const policy = table.chains.get(baseChain)?.base?.policy ?? 'accept';
  const end: End = follow(walk, baseChain, 0) ?? {
    verdict: policy,
    where: chainPlace(table, baseChain),
    rule: `policy ${policy}`,
  };
  return concluded(end, walk.doubts);
}

function concluded(end: End, doubts: readonly End[]): Judgement {
  const doubt = doubts.find(({ verdict }) => verdict === 'drop');
  if (end.verdict === 'drop') {
    const mayPass = doubts.some(({ verdict }) => verdict === 'accept');
    return { fate: mayPass ? 'may-drop' : 'drops', where: end.where, rule: end.rule };
  }
  if (doubt !== undefined) return { fate: 'may-drop', where: doubt.where, rule: doubt.rule };
  return { fate: 'passes', where: '', rule: '' };
}

/** The end that the chain comes to for certain; undefined when it returns. */
function follow(walk: Walk, chainName: string, depth: number): End | undefined {
  const chain = walk.table.chains.get(chainName);
  if (chain === undefined || depth > DEPTH_LIMIT) return undefined;
  for (const rule of chain.rules) {
    const fits = matchRule(rule, walk.flow);
    if (fits === 'no') continue;
    const { verdict } = rule;
    if (verdict.kind === 'return' || verdict.kind === 'goto') {
      const end = verdict.kind === 'goto' ? endOf(walk, chainName, rule, depth) : undefined;
      // Leaving the chain perhaps is treated as staying: what follows is then judged as well.
      if (fits === 'yes') return end;
      if (end !== undefined) walk.doubts.push(end);
      continue;
    }
    const end = endOf(walk, chainName, rule, depth);
    if (end === undefined) continue;
    if (fits === 'yes' && verdict.kind !== 'other') return end;
    walk.doubts.push(end);
  }
  return undefined;
}

function endOf(walk: Walk, chain: string, rule: FilterRule, depth: number): End | undefined {
  const { verdict, text } = rule;
  const where = chainPlace(walk.table, chain);
  switch (verdict.kind) {
    case 'accept':
    case 'drop':
      return { verdict: verdict.kind, where, rule: text };
    case 'other':
      return { verdict: 'drop', where, rule: text };
    case 'jump':
    case 'goto':
      if (walk.trusted(verdict.chain)) return { verdict: 'accept', where, rule: text };
      return follow(walk, verdict.chain, depth + 1);
    default:
      return undefined;
  }
}

type Fits = 'yes' | 'no' | 'maybe';

function matchRule({ matches }: FilterRule, flow: Flow): Fits {
  const all = matches.map((match) => matchOne(match, flow));
  if (all.includes('no')) return 'no';
  return all.includes('maybe') ? 'maybe' : 'yes';
}

function matchOne(match: Match, flow: Flow): Fits {
  const any = match.values.map((value) => TESTS[match.field](value, flow));
  const fits = any.includes('yes') ? 'yes' : any.includes('maybe') ? 'maybe' : 'no';
  if (!match.isNot || fits === 'maybe') return fits;
  return fits === 'yes' ? 'no' : 'yes';
}

const sure = (isSo: boolean): Fits => (isSo ? 'yes' : 'no');

const TESTS: Record<MatchField, (value: string, flow: Flow) => Fits> = {
  iif: (value, { iif }) => matchName(value, iif),
  oif: (value, { oif, hook }) => (hook === 'input' ? 'no' : matchName(value, oif)),
  saddr: (value, { saddr }) => matchAddress(value, saddr),
  daddr: (value, { daddr }) => matchAddress(value, daddr),
  protocol: (value, { protocol }) =>
    value === 'all' ? 'yes' : protocol === undefined ? 'maybe' : sure(value === protocol),
  sport: (value, { sport }) => matchPort(value, sport),
  dport: (value, { dport }) => matchPort(value, dport),
  state: (value, { state }) => sure(value === state),
  family: (value) => sure(value === 'ipv4'),
  bridged: (_, { isBridged }) => sure(isBridged),
  lookup: () => 'maybe',
  other: () => 'maybe',
};

function matchName(pattern: string, name: string | undefined): Fits {
  if (pattern === '*') return 'yes';
  if (name === undefined) return 'maybe';
  return sure(pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern);
}

function matchPort(value: string, port: number | undefined): Fits {
  if (port === undefined) return 'maybe';
  const [first = '', last = first] = value.split('-');
  return sure(port >= Number(first) && port <= Number(last));
}

function matchAddress(value: string, address: string | undefined): Fits {
  const pattern = span(value);
  const ours = address === undefined ? undefined : span(address);
  if (pattern === undefined) return 'maybe';
  if (pattern.start === 0 && pattern.end === 0xffffffff) return 'yes';
  if (ours === undefined) return 'maybe';
  if (ours.start >= pattern.start && ours.end <= pattern.end) return 'yes';
  return ours.end < pattern.start || ours.start > pattern.end ? 'no' : 'maybe';
}

/** First and last address of `a.b.c.d`, `a.b.c.d/len` or `a.b.c.d-e.f.g.h`; undefined for anything else. */
function span(text: string): { readonly start: number; readonly end: number } | undefined {
  const [from = '', to] = text.split('-');
  const [address = '', length = '32'] = from.split('/');
  const start = ipv4ToNumber(address);
  const prefix = Number(length);
  if (start === undefined || !(prefix >= 0 && prefix <= 32)) return undefined;
  if (to !== undefined) {
    const end = ipv4ToNumber(to);
    return end === undefined ? undefined : { start, end };
  }
  return { start, end: start + 2 ** (32 - prefix) - 1 };
}
