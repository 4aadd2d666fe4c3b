import type { Verdict } from '../../core/protocol/daemon.ts';
import { renderTable } from './table.ts';

interface Report {
  readonly scope: string;
  readonly serverUrl: string;
  readonly portalUrl: string;
  readonly user: string;
  readonly passwordFile: string;
  readonly nodes: readonly { readonly name: string; readonly vpn: Verdict }[];
}

/** ` --name two` for a demo beside the usual one, nothing for that. */
const nameFlag = (scope: string): string =>
  scope === 'demo' ? '' : ` --name ${scope.replace(/^demo-/, '')}`;

const scopeFlag = (scope: string): string => (scope === 'demo' ? '--demo' : `--scope ${scope}`);

/** How a node's VPN stands, in a few words. */
function renderVpn(vpn: Verdict | null): string {
  if (vpn === null) return 'does not run';
  if (vpn.state === 'connected') return `VPN ${vpn.vpnAddress ?? ''} (${vpn.rung ?? ''})`;
  if (vpn.state === 'trying') return 'VPN: still trying';
  if (vpn.state === 'disconnected') return 'VPN disconnected';
  return vpn.state === 'off' ? 'VPN off' : `without VPN: ${vpn.warning?.code ?? ''}`;
}

/** What there is now and what to type next. */
export function renderDemoUp(report: Report): string {
  const first = report.nodes[0]?.name ?? 'hospital-1';
  return [
    `Coordination server  ${report.serverUrl}/api`,
    `VPN portal           ${report.portalUrl}`,
    `User                 ${report.user}, password in ${report.passwordFile}`,
    '',
    ...report.nodes.map(({ name, vpn }) => `${name.padEnd(20)} ${renderVpn(vpn)}`),
    '',
    'Next:',
    `  npx v6 vpn test${report.scope === 'demo' ? '' : ` --login ${report.scope}`}`,
    `  npx v6 node status --name ${first} ${scopeFlag(report.scope)}`,
    `  npx v6 node network show --name ${first} ${scopeFlag(report.scope)}`,
    `  npx v6 demo down${nameFlag(report.scope)}`,
  ].join('\n');
}

interface Status {
  readonly serverUrl: string;
  readonly isServerHealthy: boolean;
  readonly containers: readonly {
    readonly name: string;
    readonly kind: string;
    readonly state: string;
  }[];
  readonly nodes: readonly { readonly name: string; readonly vpn: Verdict | null }[];
}

export function renderDemoStatus(status: Status): string {
  return [
    `Coordination server  ${status.serverUrl}/api  ${status.isServerHealthy ? 'healthy' : 'does not answer'}`,
    ...status.nodes.map(({ name, vpn }) => `${name.padEnd(20)} ${renderVpn(vpn)}`),
    '',
    renderTable(
      ['CONTAINER', 'KIND', 'STATE'],
      status.containers.map(({ name, kind, state }) => [name, kind, state]),
    ),
  ].join('\n');
}
