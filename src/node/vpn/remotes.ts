import { lookup } from 'node:dns/promises';
import { type Ipv4, isIpv4 } from '../../core/net/ipv4.ts';
import type { NamedRemote } from '../../core/vpn/client-config.ts';
import type { Remote } from '../../core/vpn/tunnel.ts';

/** The IPv4 addresses of a host name, in the order of the resolver; none when it has none or nobody answers. */
export type ResolveHost = (host: string) => Promise<readonly Ipv4[]>;

/** The system's resolver, hosts file included. */
export const resolveWithSystem: ResolveHost = async (host) => {
  if (isIpv4(host)) return [host];
  const found = await lookup(host, { family: 4, all: true }).catch(() => []);
  return found.map(({ address }) => address).filter((address) => isIpv4(address));
};

/**
 * Every remote of a client config as addresses, in the order of the file, without doubles. OpenVPN tries 64 at most
 * (CONNECTION_LIST_SIZE), so do we. Hosts without an address are left out; the list may be empty.
 */
export async function resolveRemotes(
  remotes: readonly NamedRemote[],
  resolve: ResolveHost,
): Promise<readonly Remote[]> {
  const hosts = [...new Set(remotes.map((remote) => remote.host))];
  const entries = await Promise.all(
    hosts.map(async (host) => [host, await resolve(host)] as const),
  );
  const addresses = new Map(entries);
  const found = new Map<string, Remote>();
  for (const { host, port, protocol } of remotes) {
    for (const address of addresses.get(host) ?? []) {
      found.set(`${address} ${port} ${protocol}`, { address, port, protocol });
    }
  }
  return [...found.values()].slice(0, 64);
}
