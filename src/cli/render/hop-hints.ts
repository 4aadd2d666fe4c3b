import type { ErrorCode } from '../../core/errors.ts';
import type { Hop } from '../../core/protocol/echo.ts';

/** What a hop is, in a few words, and what to do about it. */
export const HOP_HINTS: Readonly<Record<Hop, string>> = {
  engine:
    'the container could not be started: on that node, `npx v6 node logs`, and `npx v6 images list` for the echo image',
  client:
    'the VPN client of the sending node does not run or lacks rules: there, `npx v6 node network show`, then `npx v6 node stop` and `start`',
  tunnel:
    'the tunnel of the sending node is down: there, `npx v6 node status` shows why, `npx v6 node vpn renew` gets a new credential',
  hub: 'both tunnels are up and nothing passes between them: look at the VPN server (embedded: `npx v6 portal status`) and whether it lets clients reach each other',
  'peer-client':
    'the VPN client or the tunnel of the receiving node is down or lacks rules: there, `npx v6 node status` and `npx v6 node network show`',
  rule: 'the task firewall refused the packets: the logs of the two runs say where; on that node, `npx v6 node logs` and `npx v6 node network show`, and whether the server has the right tunnel address of the other',
  container:
    'the port of the receiving container did not listen: on that node, `npx v6 node logs` has the log of the run',
};

/** What to do where the hop is not known. */
export function hintForCode(code: ErrorCode): string {
  switch (code) {
    case 'V6_TEST_NO_ADDRESS':
      return 'no address was registered in time: on the receiving node, `npx v6 node status` and `npx v6 node logs`';
    case 'V6_TEST_NODE_OFFLINE':
      return 'the node is not connected to the server: there, `npx v6 node status`, `npx v6 node start`';
    case 'V6_TEST_NO_REPORT':
    case 'V6_RUN_FAILED':
      return 'the algorithm left no report: on the sending node, `npx v6 node logs` has the log of the run';
    case 'V6_TEST_WRONG_PEER':
      return 'a registration or a port map is stale: on the receiving node, `npx v6 node network show`, then stop and start it';
    default:
      return 'where it broke is not known: compare `npx v6 node network show` on both nodes while the test runs again';
  }
}
