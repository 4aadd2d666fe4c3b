/**
 * A packet filter as our two parsers read it: tables of iptables and of nft in one form, as far as we can understand them. What
 * we do not understand stays visible as `other`, so that nobody takes it for absent.
 */
export interface FilterTable {
  /** `table inet v6guard`, `iptables-nft filter`. */
  readonly where: string;
  readonly chains: ReadonlyMap<string, FilterChain>;
}

export interface FilterChain {
  readonly name: string;
  /** Present on chains that the kernel itself calls. */
  readonly base?: {
    readonly hook: string;
    readonly priority: number;
    readonly policy: 'accept' | 'drop';
  };
  readonly rules: readonly FilterRule[];
}

export interface FilterRule {
  readonly matches: readonly Match[];
  readonly verdict: Verdict;
  readonly comment?: string;
  /** As close to what the tool prints as we have it; for people. */
  readonly text: string;
}

export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'return' }
  /** The rule counts, marks or logs, and the next rule is asked. */
  | { readonly kind: 'continue' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string }
  /** A target that we do not know. */
  | { readonly kind: 'other' };

export type MatchField =
  | 'iif'
  | 'oif'
  | 'saddr'
  | 'daddr'
  | 'protocol'
  | 'sport'
  | 'dport'
  | 'state'
  | 'family'
  /** Whether the frame stays on one bridge. */
  | 'bridged'
  /** Several fields looked up in a named set; the values are the fields and the set's name. */
  | 'lookup'
  | 'other';

export interface Match {
  readonly field: MatchField;
  readonly isNot: boolean;
  /** One of them must fit. Interfaces may end in `*`, addresses may be networks, ports may be ranges `80-90`. */
  readonly values: readonly string[];
}

/** A rule without what counters and handles add: equal texts mean equal rules. */
export function ruleKey({ matches, verdict, comment }: FilterRule): string {
  const fields = matches
    .map(({ field, isNot, values }) => `${isNot ? '!' : ''}${field}=${values.toSorted().join(',')}`)
    .toSorted();
  const end = 'chain' in verdict ? `${verdict.kind} ${verdict.chain}` : verdict.kind;
  return [...fields, end, `"${comment ?? ''}"`].join(' ');
}

/** Which of the two it is and whose: the words that conflicts and plans name a chain with. */
export const chainPlace = (table: FilterTable, chain: FilterChain | string): string =>
  `${table.where}, chain ${typeof chain === 'string' ? chain : chain.name}`;
