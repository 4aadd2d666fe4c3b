import type { VpnSession } from '../../portal/interfaces/vpn-server.ts';

/**
 * Sessions out of the lines of `status 3` (openvpn 2.6, management-notes.txt: tab separated, columns named by a HEADER
 * line). Connections whose client has not shown its certificate yet are left out.
 */
export function parseStatus(lines: readonly string[]): readonly VpnSession[] {
  let columns: string[] = [];
  const sessions: VpnSession[] = [];
  for (const line of lines) {
    const fields = line.split('\t');
    if (fields[0] === 'HEADER' && fields[1] === 'CLIENT_LIST') columns = fields.slice(1);
    if (fields[0] !== 'CLIENT_LIST') continue;
    const value = (name: string): string => fields[columns.indexOf(name)] ?? '';
    const commonName = value('Common Name');
    if (commonName === '' || commonName === 'UNDEF') continue;
    sessions.push({
      clientId: value('Client ID'),
      commonName,
      tunnelAddress: value('Virtual Address'),
      realAddress: value('Real Address'),
      connectedAt: new Date(Number(value('Connected Since (time_t)')) * 1000),
      bytesReceived: Number(value('Bytes Received')),
      bytesSent: Number(value('Bytes Sent')),
    });
  }
  return sessions;
}
