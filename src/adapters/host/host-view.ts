import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { V6Error } from '../../core/errors.ts';
import { type Cidr, numberToIpv4 } from '../../core/net/ipv4.ts';
import type { HostRoute, HostView } from '../../node/interfaces/host-view.ts';
import { readListeningPorts } from './listening-ports.ts';

/** Reads what the kernel shows of the host; the daemon runs in the host's network. `procDir` is `/proc`. */
export function createHostView(procDir = '/proc'): HostView {
  return {
    async routes() {
      try {
        return parseRoutes(await readFile(`${procDir}/net/route`, 'utf8'));
      } catch (error) {
        throw new V6Error('V6_FIREWALL_READ', `The routes in ${procDir}/net/route cannot be read`, {
          cause: error,
        });
      }
    },
    listeningPorts: (pid) => readListeningPorts(pid, procDir),
    addresses() {
      return Object.values(networkInterfaces())
        .flatMap((list) => list ?? [])
        .filter(({ family }) => family === 'IPv4')
        .map(({ address }) => address);
    },
  };
}

/** Lines of proc_net_route: device, destination, gateway, flags, …, mask at the eighth place; numbers little-endian hex. */
export function parseRoutes(text: string): readonly HostRoute[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line): HostRoute[] => {
      const [device = '', destination = '', , , , , , mask = ''] = line.trim().split(/\s+/);
      const address = littleEndian(destination);
      const bits = littleEndian(mask);
      if (address === undefined || bits === undefined) return [];
      const prefix = bits === 0 ? 0 : 32 - Math.log2(2 ** 32 - bits);
      // The default route, also when it is written as two halves, overlaps everything and says nothing.
      if (prefix <= 1) return [];
      return [{ destination: `${numberToIpv4(address)}/${prefix}` as Cidr, device }];
    });
}

function littleEndian(hex: string): number | undefined {
  if (!/^[0-9A-F]{8}$/i.test(hex)) return undefined;
  return Buffer.from(hex, 'hex').readUInt32LE(0);
}
