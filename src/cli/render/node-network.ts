import type { FirewallBackend, HostChange, HostConflict } from '../../core/net/host-rules.ts';
import type { DaemonNetwork } from '../../core/protocol/daemon.ts';
import type {
  NetworkNode,
  NetworkPlan,
  NetworkUndo,
  NetworkView,
} from '../../core/protocol/node-network.ts';
import { renderFacts, renderTable } from './table.ts';

const BACKENDS: Readonly<Record<FirewallBackend, string>> = {
  'iptables-nft': 'iptables-nft',
  'iptables-legacy': 'iptables-legacy',
  nftables: 'nftables',
  none: 'none (the engine makes no rules)',
};

/** What `v6 node network apply` would do. */
export function renderNetworkPlan(plan: NetworkPlan): string {
  const steps = plan.changes.filter(({ action }) => action !== 'keep').length;
  const end = plan.isUpToDate
    ? 'Nothing would change.'
    : `${steps} ${steps === 1 ? 'thing' : 'things'} would change: v6 node network apply ${nodeFlags(plan.node)}`;
  return [...planHead(plan), ...renderChanges(plan.changes, 'would'), '', end].join('\n');
}

/** What `v6 node network apply` did. */
export function renderNetworkApply(plan: NetworkPlan): string {
  const end = plan.isUpToDate ? 'Nothing had to change.' : 'The rules stand.';
  return [...renderChanges(plan.changes, 'did'), ...renderConflicts(plan.conflicts), end].join(
    '\n',
  );
}

/** What `v6 node network undo` did or would do. */
export function renderNetworkUndo(undo: NetworkUndo): string {
  const { node, isDryRun, isEmpty, containers, networks, changes } = undo;
  if (isEmpty) return `Nothing of the node ${nodeName(node)} is on this host.`;
  const verb = isDryRun ? 'would remove' : 'removed';
  return [
    ...containers.map((name) => `${verb} container ${name}`),
    ...networks.map((name) => `${verb} network ${name}`),
    ...renderChanges(
      changes.filter(({ action }) => action !== 'keep'),
      isDryRun ? 'would' : 'did',
    ),
  ].join('\n');
}

function planHead(plan: NetworkPlan): readonly string[] {
  const { node, basis, conflicts } = plan;
  return [
    ...renderFacts([
      ['node', `${nodeName(node)}, ${node.running ? 'running' : 'not running'}`],
      ...firewallFacts(plan),
      ...basis.map((sentence, at): [string, string] => [at === 0 ? 'wants' : '', sentence]),
    ]),
    '',
    ...renderConflicts(conflicts),
  ];
}

type Firewall = Pick<
  NetworkPlan,
  'backend' | 'evidence' | 'bridgeNfCallIptables' | 'forwardPolicy'
>;

function firewallFacts(firewall: Firewall): [string, string][] {
  const { backend, evidence, bridgeNfCallIptables, forwardPolicy } = firewall;
  const frames =
    bridgeNfCallIptables === true
      ? 'go through the host’s rules (bridge-nf-call-iptables is 1)'
      : 'do not go through the host’s rules';
  return [
    ['firewall', BACKENDS[backend]],
    ...evidence.map((sentence): [string, string] => ['', sentence]),
    ['bridged frames', frames],
    ...(forwardPolicy === null
      ? []
      : [['forward policy', forwardPolicy] satisfies [string, string]]),
  ];
}

const WORDS = {
  would: { add: 'would add', remove: 'would remove', keep: 'stays' },
  did: { add: 'added', remove: 'removed', keep: 'stays' },
} as const;

/** Three lines each: what and where, why, and the rule itself. */
function renderChanges(changes: readonly HostChange[], tense: 'would' | 'did'): readonly string[] {
  return changes.flatMap(({ action, what, where, why, text }) => [
    `${WORDS[tense][action]} ${what.replaceAll('-', ' ')} in ${where}`,
    `  ${why}`,
    ...text.split('\n').map((line) => `  | ${line}`),
  ]);
}

/** Drops of others that nothing of ours can overrule. */
function renderConflicts(conflicts: readonly HostConflict[]): readonly string[] {
  return conflicts.flatMap(({ where, flow, rule, isCertain, hints }) => [
    `${isCertain ? 'CONFLICT' : 'POSSIBLE CONFLICT'}: traffic ${flow} is dropped in ${where}`,
    `  | ${rule}`,
    ...hints.map((hint) => `  → ${hint}`),
    '',
  ]);
}

/** Networks and rules of a node; the rules as the kernel lists them. */
export function renderNodeNetwork(network: NetworkView): string {
  const { uplink, slots, vpnClient, hostRules, host, running } = network;
  return [
    ...renderFacts([
      ...(running ? [] : [['daemon', 'not running'] satisfies [string, string]]),
      ['uplink', uplink === '' ? 'none' : uplink],
      ['VPN client', `${vpnClient.container} (${vpnClient.running ? 'running' : 'not running'})`],
      ...(host === null ? [] : firewallFacts(host)),
      ...(host === null ? [] : [['rules of', orNone(host.owners.join(', '))] as [string, string]]),
    ]),
    '',
    renderSlots(slots),
    '',
    ...(host === null ? [] : renderConflicts(host.conflicts)),
    ...renderRuns(network.runs ?? []),
    ...renderRefusals(network.refusals ?? []),
    'Rules of v6 on the host:',
    hostRules ?? 'none',
    '',
    'Rules in the VPN client:',
    orNone(vpnClient.rules),
  ].join('\n');
}

/** Who may reach the runs of now, and whom they may reach. */
function renderRuns(runs: NonNullable<DaemonNetwork['runs']>): string[] {
  if (runs.length === 0) return [];
  const rows = runs.map(({ run, task, ports, peers, destinations }) => [
    String(run),
    String(task),
    orNone(ports.map(({ protocol, tunnelPort }) => `${tunnelPort}/${protocol}`).join(' ')),
    orNone(peers.join(' ')),
    orNone(
      destinations.map(({ address, port, protocol }) => `${address}:${port}/${protocol}`).join(' '),
    ),
  ]);
  return ['Let through:', renderTable(['RUN', 'TASK', 'LISTENS ON', 'FROM', 'TO'], rows), ''];
}

/** What the task firewall refused to the runs of now. */
function renderRefusals(refusals: NonNullable<DaemonNetwork['refusals']>): string[] {
  if (refusals.length === 0) return [];
  const rows = refusals.map(({ run, side, address, protocol, port, packets }) => [
    String(run),
    side === 'sending'
      ? `to ${address}:${port}/${protocol}`
      : `from ${address} to ${port}/${protocol}`,
    String(packets),
  ]);
  return ['Refused by the task firewall:', renderTable(['RUN', 'FLOW', 'PACKETS'], rows), ''];
}

function renderSlots(slots: DaemonNetwork['slots']): string {
  return renderTable(
    ['SLOT', 'SUBNET', 'BRIDGE', 'RUN'],
    slots.map(({ network, subnet, bridge, run }) => [
      network,
      subnet,
      bridge,
      run === null ? '-' : String(run),
    ]),
  );
}

const orNone = (text: string): string => (text === '' ? 'none' : text);

/** How a command is told which node. */
function nodeFlags({ name, scope }: NetworkNode): string {
  if (scope === 'user') return `--name ${name}`;
  return `--name ${name} ${scope === 'system' || scope === 'demo' ? `--${scope}` : `--scope ${scope}`}`;
}

const nodeName = ({ name, scope }: NetworkNode): string => `${name} (${scope})`;
