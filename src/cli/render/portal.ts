import { renderTable } from './table.ts';

/** The parts of a `vpn_server` block that are safe to print. */
interface PrintedBlock {
  readonly url: string;
  readonly redirect_url: string;
  readonly client_id: string;
  readonly client_secret_file: string | null;
  readonly portal_username: string;
  readonly portal_userpass_file: string;
}

interface PrintedStart {
  readonly state: 'started' | 'mended' | 'unchanged';
  readonly url: string;
  readonly subnet: string;
  readonly remotes: readonly string[];
  readonly network: string;
  readonly vpn_server: PrintedBlock;
}

interface PrintedStatus {
  readonly state: string;
  readonly containers: readonly {
    readonly name: string;
    readonly state: string;
    readonly startedAt: string | null;
  }[];
  readonly report: {
    readonly url: string;
    readonly subnet: string;
    readonly vpnServer: string;
    readonly tunnels:
      | readonly {
          readonly node: string | null;
          readonly address: string;
          readonly from: string;
          readonly since: string;
          readonly bytesReceived: number;
          readonly bytesSent: number;
        }[]
      | null;
    readonly leases: readonly {
      readonly node: string;
      readonly address: string;
      readonly certificateEndsAt: string | null;
    }[];
  } | null;
}

const STATE_WORDS = {
  started: 'Portal and VPN server are running.',
  mended: 'Portal and VPN server are running again.',
  unchanged: 'Portal and VPN server were running already; nothing was changed.',
} as const;

/** What `v6 portal start` prints. */
export function renderStartedPortal(result: PrintedStart): string {
  const block = result.vpn_server;
  return [
    STATE_WORDS[result.state],
    `  portal   ${result.url}`,
    `  VPN      ${result.subnet} by ${result.remotes.join(', ')}`,
    `  network  ${result.network}`,
    '',
    'For the vpn_server block of the coordination server:',
    `  url               ${block.url}`,
    `  redirect_url      ${block.redirect_url}`,
    `  client_id         ${block.client_id}`,
    `  client_secret     ${block.client_secret_file === null ? 'none (public client)' : `in ${block.client_secret_file}`}`,
    `  portal_username   ${block.portal_username}`,
    `  portal_userpass   in ${block.portal_userpass_file}`,
  ].join('\n');
}

/** What `v6 portal status` prints. */
export function renderPortalStatus({ state, containers, report }: PrintedStatus): string {
  const parts = [
    `State: ${state}`,
    renderTable(
      ['CONTAINER', 'STATE', 'SINCE'],
      containers.map((container) => [container.name, container.state, container.startedAt ?? '-']),
    ),
  ];
  if (report === null) return [...parts, 'The portal does not answer.'].join('\n\n');
  parts.push(`Portal ${report.url}, VPN ${report.subnet}, VPN server ${report.vpnServer}`);
  const { tunnels } = report;
  if (tunnels === null)
    parts.push('Who is connected is not known: the VPN server does not answer.');
  else if (tunnels.length === 0) parts.push('No node is connected.');
  else {
    parts.push(
      renderTable(
        ['TUNNEL', 'ADDRESS', 'FROM', 'SINCE', 'RECEIVED', 'SENT'],
        tunnels.map((tunnel) => [
          tunnel.node ?? '(ended)',
          tunnel.address,
          tunnel.from,
          tunnel.since,
          String(tunnel.bytesReceived),
          String(tunnel.bytesSent),
        ]),
      ),
    );
  }
  if (report.leases.length > 0) {
    parts.push(
      renderTable(
        ['NODE', 'ADDRESS', 'CERTIFICATE UNTIL'],
        report.leases.map((lease) => [
          lease.node,
          lease.address,
          lease.certificateEndsAt ?? 'none',
        ]),
      ),
    );
  }
  return parts.join('\n\n');
}
