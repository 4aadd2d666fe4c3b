import type { FilterChain, FilterRule, FilterTable, Match, Verdict } from './packet-filter.ts';

/** Reads what `iptables-save -t filter` prints of one table; `where` names it, for example `iptables-nft filter`. */
export function parseIptables(text: string, where: string): FilterTable {
  const chains = new Map<string, { chain: FilterChain; rules: FilterRule[] }>();
  for (const line of text.split('\n')) {
    const declared = /^:(\S+) (ACCEPT|DROP|-)/.exec(line);
    if (declared) {
      const [, name = '', policy] = declared;
      const hook = name.toLowerCase();
      const rules: FilterRule[] = [];
      const base =
        policy === '-'
          ? {}
          : {
              base: { hook, priority: 0, policy: policy === 'DROP' ? 'drop' : 'accept' } as const,
            };
      chains.set(name, { chain: { name, ...base, rules }, rules });
    }
    const added = /^(?:\[\d+:\d+\] )?-A (\S+)/.exec(line);
    if (added) chains.get(added[1] ?? '')?.rules.push(parseRule(line));
  }
  return { where, chains: new Map([...chains].map(([name, { chain }]) => [name, chain])) };
}

/** Words as iptables-save quotes them. */
function wordsOf(line: string): readonly string[] {
  const found = line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g);
  return [...found].map(([, quoted, plain]) => quoted?.replaceAll(/\\(.)/g, '$1') ?? plain ?? '');
}

const VALUE_OPTIONS: Readonly<Record<string, Match['field']>> = {
  '-i': 'iif',
  '-o': 'oif',
  '-s': 'saddr',
  '-d': 'daddr',
  '-p': 'protocol',
  '--dport': 'dport',
  '--sport': 'sport',
  '--dports': 'dport',
  '--sports': 'sport',
  '--ctstate': 'state',
  '--state': 'state',
};

/** Modules whose options stand in the table above, or which match nothing by themselves. */
const KNOWN_MODULES = new Set([
  'tcp',
  'udp',
  'multiport',
  'conntrack',
  'state',
  'comment',
  'physdev',
]);

const ENDS: Readonly<Record<string, Verdict>> = {
  ACCEPT: { kind: 'accept' },
  DROP: { kind: 'drop' },
  REJECT: { kind: 'drop' },
  RETURN: { kind: 'return' },
  LOG: { kind: 'continue' },
  NFLOG: { kind: 'continue' },
  MARK: { kind: 'continue' },
  CONNMARK: { kind: 'continue' },
  TCPMSS: { kind: 'continue' },
  NFQUEUE: { kind: 'other' },
};

function parseRule(line: string): FilterRule {
  const words = wordsOf(line);
  const matches: Match[] = [];
  let verdict: Verdict = { kind: 'continue' };
  let comment: string | undefined;
  let isNot = false;
  let isInTarget = false;
  for (let at = words.indexOf('-A') + 2; at < words.length; at += 1) {
    const word = words[at] ?? '';
    const next = words[at + 1] ?? '';
    const field = VALUE_OPTIONS[word];
    if (word === '!') {
      isNot = true;
      continue;
    }
    if (word === '-j' || word === '-g') {
      verdict = ENDS[next] ?? { kind: word === '-j' ? 'jump' : 'goto', chain: next };
      isInTarget = true;
      at += 1;
    } else if (isInTarget) {
      // Options of the target, such as `--reject-with`.
    } else if (field !== undefined) {
      matches.push({ field, isNot, values: valuesOf(field, next) });
      at += 1;
    } else if (word === '--physdev-is-bridged') {
      matches.push({ field: 'bridged', isNot, values: ['yes'] });
    } else if (word === '--comment') {
      comment = next;
      at += 1;
    } else if (word === '-m') {
      if (!KNOWN_MODULES.has(next)) matches.push({ field: 'other', isNot: false, values: [next] });
      at += 1;
    } else if (word.startsWith('-')) {
      matches.push({ field: 'other', isNot, values: [word] });
    }
    isNot = false;
  }
  return { matches, verdict, text: line, ...(comment === undefined ? {} : { comment }) };
}

function valuesOf(field: Match['field'], text: string): readonly string[] {
  if (field === 'state') return text.toLowerCase().split(',');
  if (field === 'sport' || field === 'dport')
    return text.split(',').map((port) => port.replace(':', '-'));
  // iptables writes a plain plus where nft has an asterisk.
  if (field === 'iif' || field === 'oif') return [text.replace(/\+$/, '*')];
  if (field === 'saddr' || field === 'daddr')
    return text.split(',').map((address) => address.replace(/\/32$/, ''));
  return [text];
}

/** A rule of ours as iptables-restore reads it, without `-A CHAIN`. */
export function renderIptables({ matches, verdict, comment }: FilterRule): string {
  const of = (field: Match['field']): readonly string[] =>
    matches.filter((match) => match.field === field).map(optionOf);
  const target = 'chain' in verdict ? verdict.chain : verdict.kind.toUpperCase();
  return [
    ...of('saddr'),
    ...of('daddr'),
    ...of('iif'),
    ...of('oif'),
    ...of('protocol'),
    ...of('sport'),
    ...of('dport'),
    ...of('state'),
    ...of('bridged'),
    ...(comment === undefined ? [] : [`-m comment --comment "${comment}"`]),
    `-j ${target}`,
  ].join(' ');
}

function optionOf({ field, values }: Match): string {
  const value = values.join(',');
  switch (field) {
    case 'iif':
      return `-i ${value.replace(/\*$/, '+')}`;
    case 'oif':
      return `-o ${value.replace(/\*$/, '+')}`;
    case 'saddr':
      return `-s ${value}`;
    case 'daddr':
      return `-d ${value}`;
    case 'protocol':
      return `-p ${value} -m ${value}`;
    case 'state':
      return `-m conntrack --ctstate ${value.toUpperCase()}`;
    case 'bridged':
      return '-m physdev --physdev-is-bridged';
    default:
      return `--${field} ${value}`;
  }
}
