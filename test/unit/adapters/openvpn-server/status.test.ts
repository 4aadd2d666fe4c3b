import { describe, expect, it } from 'vitest';
import { parseStatus } from '../../../../src/adapters/openvpn-server/status.ts';

// As openvpn 2.6.14 answers `status 3`.
const HEADER =
  'HEADER\tCLIENT_LIST\tCommon Name\tReal Address\tVirtual Address\tVirtual IPv6 Address\tBytes Received\tBytes Sent\tConnected Since\tConnected Since (time_t)\tUsername\tClient ID\tPeer ID\tData Channel Cipher';
const LINES = [
  'TITLE\tOpenVPN 2.6.14 x86_64-pc-linux-gnu',
  'TIME\t2026-11-22 15:12:00\t1795360320',
  HEADER,
  'CLIENT_LIST\t3c9a1b\t10.203.0.5:41822\t10.204.0.10\t\t4021\t3984\t2026-11-22 15:11:40\t1795360300\tUNDEF\t7\t0\tAES-256-GCM',
  'CLIENT_LIST\tUNDEF\t10.203.0.6:41823\t\t\t100\t90\t2026-11-22 15:11:59\t1795360319\tUNDEF\t8\t1\t',
  'HEADER\tROUTING_TABLE\tVirtual Address\tCommon Name\tReal Address\tLast Ref\tLast Ref (time_t)',
  'ROUTING_TABLE\t10.204.0.10\t3c9a1b\t10.203.0.5:41822\t2026-11-22 15:11:58\t1795360318',
  'GLOBAL_STATS\tMax bcast/mcast queue length\t0',
];

describe('sessions of the VPN server', () => {
  it('are read by the names of their columns; handshakes that are not done are left out', () => {
    expect(parseStatus(LINES)).toEqual([
      {
        clientId: '7',
        commonName: '3c9a1b',
        tunnelAddress: '10.204.0.10',
        realAddress: '10.203.0.5:41822',
        connectedAt: new Date(1_795_360_300_000),
        bytesReceived: 4021,
        bytesSent: 3984,
      },
    ]);
  });

  it('are none when nobody is connected', () => {
    expect(parseStatus([HEADER])).toEqual([]);
  });
});
