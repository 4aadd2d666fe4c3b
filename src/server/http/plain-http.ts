import { BlockList, isIPv4 } from 'node:net';
import { V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Cidr } from '../../core/net/ipv4.ts';

/**
 * A client config holds a private key, and we speak plain http (a proxy in front speaks TLS): it goes to loopback and private
 * addresses only (RFC 1918, RFC 4193). Private ones are warned of once each unless they are in a trusted network.
 * The guard throws V6_VPN_PLAIN_HTTP. It looks at the peer of the connection, never at a header that a caller may set.
 */
export function createPlainHttpGuard(options: {
  readonly trusted: readonly Cidr[];
  readonly logger: Pick<Logger, 'warn'>;
}): (peer: string | undefined) => void {
  const loopback = listOf(['127.0.0.0/8', '::1/128']);
  const isPrivate = listOf(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']);
  const trusted = listOf(options.trusted);
  const warned = new Set<string>();
  return (peer) => {
    const address = (peer ?? '').replace(/^::ffff:(?=\d+\.)/, '');
    if (address !== '' && (has(loopback, address) || has(trusted, address))) return;
    if (address === '' || !has(isPrivate, address)) {
      throw new V6Error('V6_VPN_PLAIN_HTTP', 'A client config is not sent over plain http', {
        hints: ['Put a proxy with TLS in front of the server, on this machine.'],
        details: { peer: address },
      });
    }
    if (warned.has(address) || warned.size > 1000) return;
    warned.add(address);
    options.logger.warn('A client config goes over plain http inside a private network', {
      code: 'V6_VPN_PLAIN_HTTP',
      peer: address,
    });
  };
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', length = ''] = network.split('/');
    list.addSubnet(address, Number(length), isIPv4(address) ? 'ipv4' : 'ipv6');
  }
  return list;
}

const has = (list: BlockList, address: string): boolean =>
  list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
