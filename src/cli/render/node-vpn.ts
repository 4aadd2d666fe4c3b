import type { DaemonVpn, TunnelLevel } from '../../core/protocol/daemon.ts';
import { renderVerdict } from './node.ts';
import { renderFacts } from './table.ts';

const LEVELS: Readonly<Record<Exclude<TunnelLevel, 'none'>, string>> = {
  tunnel: 'it has an address',
  data: 'packets of the VPN server arrive',
  peer: 'packets of other nodes arrive',
};

/** Credential and tunnel of a node. */
export function renderNodeVpn(vpn: DaemonVpn): string {
  const { bytes, level, lastError } = vpn;
  const facts: [string, string | null][] = [
    ['level', level === 'none' ? null : `${level} (${LEVELS[level]})`],
    ['up since', vpn.connectedSince],
    ['VPN server', vpn.remote],
    ['bytes', bytes === null ? null : `${bytes.received} received, ${bytes.sent} sent`],
    ['certificate ends', vpn.certificateExpiresAt],
    ['renewed at', vpn.renewsAt],
    [
      'last error',
      lastError === null ? null : `${lastError.at} ${lastError.code}: ${lastError.message}`,
    ],
  ];
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== null);
  return [renderVerdict(vpn), ...renderFacts(known).map((line) => `  ${line}`)].join('\n');
}
