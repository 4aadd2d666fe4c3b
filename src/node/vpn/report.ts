import type { DaemonVpn, TunnelLevel, Verdict } from '../../core/protocol/daemon.ts';
import type { ClientConfig } from '../../core/vpn/client-config.ts';
import type { TunnelState } from '../../core/vpn/tunnel.ts';
import type { VpnClientReport } from '../interfaces/vpn-client.ts';
import type { LadderError } from './ladder.ts';

export interface VpnReportInput {
  readonly verdict: Verdict;
  readonly tunnel: TunnelState;
  readonly client: Pick<VpnClientReport, 'bytes' | 'counters'>;
  readonly certificate: ClientConfig['certificate'] | undefined;
  readonly renewsAt: Date | undefined;
  readonly lastError: LadderError | undefined;
}

/** Rules of the VPN client that count packets of another node's algorithm. */
const FROM_PEERS = ['accept-from-vpn', 'established-from-vpn'] as const;

/** What `v6 node vpn status` shows. */
export function vpnReport(input: VpnReportInput): DaemonVpn {
  const { verdict, tunnel, client, certificate, renewsAt, lastError } = input;
  return {
    ...verdict,
    level: levelOf(input),
    connectedSince: tunnel.kind === 'connected' ? tunnel.since.toISOString() : null,
    remote: tunnel.kind === 'connected' ? (tunnel.remote ?? null) : null,
    bytes: tunnel.kind === 'connected' ? (client.bytes ?? null) : null,
    certificateExpiresAt: certificate?.notAfter.toISOString() ?? null,
    renewsAt: renewsAt?.toISOString() ?? null,
    lastError: lastError === undefined ? null : { ...lastError, at: lastError.at.toISOString() },
  };
}

/** The highest level that there is evidence for. Counters of peers run since the rules were loaded, not since the tunnel is up. */
function levelOf({ tunnel, client }: VpnReportInput): TunnelLevel {
  if (tunnel.kind !== 'connected') return 'none';
  if (FROM_PEERS.some((rule) => (client.counters?.[rule]?.packets ?? 0) > 0)) return 'peer';
  return (client.bytes?.received ?? 0) > 0 ? 'data' : 'tunnel';
}
