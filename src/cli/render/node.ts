import type { DaemonQueueEntry, DaemonStatus, Verdict } from '../../core/protocol/daemon.ts';
import { renderFacts, renderTable } from './table.ts';

const RUNGS = {
  existing: 'with the stored client config',
  renew: 'with a renewed client config',
  new: 'with a new client config',
  without: 'without',
} as const;

/** How the credential ladder stands, in one line. */
export function renderVpn(verdict: Verdict): string {
  switch (verdict.state) {
    case 'connected':
      return `VPN: connected as ${verdict.vpnAddress ?? '?'} ${RUNGS[verdict.rung ?? 'existing']}`;
    case 'without':
      return 'VPN: the node runs without';
    case 'off':
      return 'VPN: off (vpn_subnet is empty)';
    case 'trying':
      return 'VPN: still trying';
    case 'disconnected':
      return 'VPN: disconnected on request';
  }
}

/** The verdict with the steps that led there, when there was more than one. */
export function renderVerdict(verdict: Verdict): string {
  const { steps, portalCalls, state } = verdict;
  const isPlain = state === 'connected' && steps.length === 1;
  const tried = isPlain ? [] : steps.map(({ rung, outcome }) => `  ${rung}: ${outcome}`);
  const calls = portalCalls === 0 ? [] : [`  client configs asked for: ${portalCalls}`];
  return [renderVpn(verdict), ...tried, ...calls].join('\n');
}

export function renderNodeStatus(status: DaemonStatus): string {
  const { node, server, vpn, slots, runs } = status;
  const facts: [string, string][] = [
    ['node', `${node.name} (id ${node.id})`],
    ['organization', String(node.organization)],
    ['collaboration', String(node.collaboration)],
    ['running since', `${status.startedAt} (process ${status.pid})`],
    ['server', `${server.url} ${server.connected ? 'connected' : 'not connected'}`],
    ['VPN', renderVpn(vpn).replace(/^VPN: /, '')],
    ...optional('tunnel up since', vpn.connectedSince),
    ...optional('certificate ends', vpn.certificateExpiresAt),
    ...optional('encryption', renderEncryption(status.encryption)),
    ...optional('engine', renderEngine(status.engine)),
    ['slots', `${slots.busy} of ${slots.total} busy`],
    ['runs', `${runs.length - status.queued} active, ${status.queued} waiting`],
    ...optional('network', renderChecks(status.network)),
  ];
  const lines = renderFacts(facts);
  if (runs.length === 0) return lines.join('\n');
  const waiting = new Map(status.queue?.map((entry) => [entry.run, entry]));
  const table = renderTable(
    ['RUN', 'TASK', 'IMAGE', 'STATE', 'SINCE'],
    runs.map(({ run, task, image, state, since }) => [
      String(run),
      String(task),
      image,
      renderState(state, waiting.get(run)),
      since,
    ]),
  );
  return `${lines.join('\n')}\n\n${table}`;
}

/** The own key and what is wrong with keys; null without encryption, and for a daemon of an earlier version. */
function renderEncryption(encryption: DaemonStatus['encryption'] | undefined): string | null {
  if (encryption === null || encryption === undefined) return null;
  const { fingerprint, ownKey, refused } = encryption;
  return [
    `on, own key ${fingerprint}`,
    ...(ownKey === 'replaced' ? ['V6_ENCRYPTION_OWN_KEY: the server has another one'] : []),
    ...refused.map(({ code, message }) => `${code}: ${message}`),
  ].join('\n    ');
}

/** `queued` with the place and the reason. */
function renderState(state: string, entry: DaemonQueueEntry | undefined): string {
  return entry === undefined ? state : `${state}, ${entry.position}. in line: ${entry.reason}`;
}

/** What was repaired and what cannot be; null before the first check, and for a daemon of an earlier version. */
function renderChecks(network: DaemonStatus['network']): string | null {
  if (network === undefined || network.lastCheck === null) return null;
  const { lastCheck, repairs, lastRepair, failing } = network;
  const last = lastRepair === null ? '' : ` (last: ${lastRepair.what}, ${lastRepair.at})`;
  const state = failing.length === 0 ? 'as it must be' : 'NOT as it must be';
  return [
    `${state}, checked ${lastCheck}; repairs since the start: ${repairs}${last}`,
    ...failing.map(
      ({ what, code, message, since }) => `${code}: ${what}: ${message} (since ${since})`,
    ),
  ].join('\n    ');
}

/** Null for a daemon of an earlier version. */
function renderEngine(engine: DaemonStatus['engine'] | undefined): string | null {
  if (engine === null || engine === undefined) return null;
  const advice = engine.liveRestore
    ? 'algorithms outlive its restart'
    : 'without live-restore: its restart ends the algorithms that run';
  return `${engine.version}, ${advice}`;
}

function optional(name: string, value: string | null): [string, string][] {
  return value === null ? [] : [[name, value]];
}
