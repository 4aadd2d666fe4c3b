import { BRIDGE_PREFIX } from '../labels.ts';
import { type Flow, type Judgement, judge } from './filter-verdict.ts';
import { type HostRemote, type HostRules, isOwner } from './host-rules.ts';
import { renderIptables } from './iptables-text.ts';
import type { FilterChain, FilterRule, FilterTable, Match } from './packet-filter.ts';

/** Our chain in the engine's filter table; all nodes of a host share it. */
export const ACCEPT_CHAIN = 'V6-FORWARD';
/** The engine sends all forwarded packets here first, and leaves what stands in it to the administrator. */
export const USER_CHAIN = 'DOCKER-USER';
/** The comment of the jump; a rule has its owner beside it. */
export const MARK = 'v6';

export interface HostFacts {
  /** Whether bridged frames go through the host's rules (bridge-nf-call-iptables); null: the kernel does not have that. */
  readonly bridgeNf: boolean | null;
  /** Remote's address → interface that it is reached over; absent: no route at the moment. */
  readonly outside: ReadonlyMap<string, string>;
}

/** What must get through for one node, and the rule that lets it. */
export interface WantedFlow {
  readonly flow: Flow;
  readonly rule: FilterRule;
  readonly why: string;
}

/** An interface of the kind that slots have. */
const ANY_SLOT = `${BRIDGE_PREFIX.slot}0`;

/** All traffic of a node that its host may see forwarded. */
export function wantedFlows(rules: HostRules, facts: HostFacts): readonly WantedFlow[] {
  const local = new Set(rules.localRemotes.map(remoteText));
  const away = rules.remotes.filter((remote) => !local.has(remoteText(remote)));
  return [
    ...(facts.bridgeNf === true ? [slotFlow(rules.owner)] : []),
    ...away.flatMap((remote) => remoteFlows(rules, remote, facts)),
  ];
}

export const remoteText = ({ address, port, protocol }: HostRemote): string =>
  `${address}:${port}/${protocol}`;

const match = (field: Match['field'], value: string): Match => ({
  field,
  isNot: false,
  values: [value],
});

/** A rule of ours that lets through what fits. */
function accept(owner: string, matches: readonly Match[]): FilterRule {
  const rule = { matches, verdict: { kind: 'accept' }, comment: `${MARK} ${owner}` } as const;
  return { ...rule, text: renderIptables({ ...rule, text: '' }) };
}

function slotFlow(owner: string): WantedFlow {
  const anySlot = `${BRIDGE_PREFIX.slot}*`;
  return {
    flow: {
      name: 'between an algorithm and the VPN client',
      hook: 'forward',
      iif: ANY_SLOT,
      oif: ANY_SLOT,
      state: 'new',
      isBridged: true,
    },
    rule: accept(owner, [match('iif', anySlot), match('oif', anySlot), match('bridged', 'yes')]),
    why: 'bridge-nf-call-iptables sends frames between an algorithm and its VPN client through the host’s rules, which would drop them',
  };
}

/** Out to a remote, and its answers. One that stands on the uplink itself passes the host's rules only as bridged frames. */
function remoteFlows(
  { owner, uplink }: HostRules,
  remote: HostRemote,
  { bridgeNf, outside }: HostFacts,
): readonly WantedFlow[] {
  const device = outside.get(remote.address);
  if (uplink === undefined || device === undefined) return [];
  const isBridged = device === uplink.bridge;
  if (isBridged && bridgeNf !== true) return [];
  const { address, port, protocol } = remote;
  const { bridge, subnet } = uplink;
  const why = `the host’s rules would drop the tunnel to ${remoteText(remote)}`;
  return [
    {
      flow: {
        name: `from the VPN client to ${remoteText(remote)}`,
        hook: 'forward',
        iif: bridge,
        oif: device,
        saddr: subnet,
        daddr: address,
        protocol,
        dport: port,
        state: 'new',
        isBridged,
      },
      rule: accept(owner, [
        match('saddr', subnet),
        match('daddr', address),
        match('iif', bridge),
        match('protocol', protocol),
        match('dport', String(port)),
      ]),
      why,
    },
    {
      flow: {
        name: `from ${remoteText(remote)} to the VPN client`,
        hook: 'forward',
        iif: device,
        oif: bridge,
        saddr: address,
        daddr: subnet,
        protocol,
        sport: port,
        state: 'established',
        isBridged,
      },
      rule: accept(owner, [
        match('saddr', address),
        match('daddr', subnet),
        match('oif', bridge),
        match('protocol', protocol),
        match('sport', String(port)),
        match('state', 'established'),
      ]),
      why,
    },
  ];
}

/** To a VPN server that this host itself runs: seen by the chains at the input hook. */
export function localFlows({ uplink, localRemotes }: HostRules): readonly Flow[] {
  if (uplink === undefined) return [];
  return localRemotes.map((remote) => ({
    name: `from the VPN client to ${remoteText(remote)} on this host`,
    hook: 'input',
    iif: uplink.bridge,
    saddr: uplink.subnet,
    daddr: remote.address,
    protocol: remote.protocol,
    dport: remote.port,
    state: 'new',
    isBridged: false,
  }));
}

/** The engine lets its own networks through; whatever version it is of, that is its business. */
export const isEnginesOwn = (chain: string): boolean => /^DOCKER(?!-USER$)/.test(chain);

export interface AcceptDecision {
  /** Rules that change something for the better. */
  readonly rules: readonly WantedFlow[];
  /** What is dropped in spite of them. */
  readonly refused: readonly { readonly wanted: WantedFlow; readonly by: Judgement }[];
}

const BADNESS = { passes: 0, 'may-drop': 1, drops: 2 } as const;

/** Which of the flows need a rule of ours in the engine's filter table, as if none of ours stood there. */
export function decideAccepts(table: FilterTable, flows: readonly WantedFlow[]): AcceptDecision {
  const bare = withUserChain(table, (rules) => rules.filter((rule) => !isOurJump(rule)));
  const opened = withUserChain(bare, (rules) => [OPEN, ...rules]);
  const judged = flows.map((wanted) => ({
    wanted,
    before: judge(bare, 'FORWARD', wanted.flow, { trusted: isEnginesOwn }),
    after: judge(opened, 'FORWARD', wanted.flow, { trusted: isEnginesOwn }),
  }));
  return {
    rules: judged
      .filter(({ before, after }) => BADNESS[after.fate] < BADNESS[before.fate])
      .map(({ wanted }) => wanted),
    refused: judged
      .filter(({ after }) => after.fate !== 'passes')
      .map(({ wanted, after }) => ({ wanted, by: after })),
  };
}

const OPEN: FilterRule = { matches: [], verdict: { kind: 'accept' }, text: '' };

export function isOurJump({ verdict }: FilterRule): boolean {
  return 'chain' in verdict && verdict.chain === ACCEPT_CHAIN;
}

function withUserChain(
  table: FilterTable,
  change: (rules: readonly FilterRule[]) => readonly FilterRule[],
): FilterTable {
  const user = table.chains.get(USER_CHAIN);
  if (user === undefined) return table;
  const changed: FilterChain = { ...user, rules: change(user.rules) };
  return { ...table, chains: new Map(table.chains).set(USER_CHAIN, changed) };
}

/** Whose a rule in our chain is; undefined for one that we did not write. */
export function ownerOf({ comment = '' }: FilterRule): string | undefined {
  const owner = comment.startsWith(`${MARK} `) ? comment.slice(MARK.length + 1) : '';
  return isOwner(owner) ? owner : undefined;
}
