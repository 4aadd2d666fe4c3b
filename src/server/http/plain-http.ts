import type { FastifyRequest } from 'fastify';
import { LOOPBACK } from '../../core/config/server-transport.ts';
import { V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Cidr } from '../../core/net/ipv4.ts';
import { isListed, isSecure, networkList } from './connection.ts';

type Incoming = Pick<FastifyRequest, 'ip' | 'raw'>;

/**
 * A client config holds a private key. Without TLS it goes to loopback and private addresses only (RFC 1918, RFC 4193, and link-local
 * ones of IPv6); private ones are warned of once each unless they are in a trusted network. Behind a trusted proxy the address is the
 * client's, and a proxy that took the request over https has to say so.
 * The guard throws V6_VPN_PLAIN_HTTP.
 */
export function createPlainHttpGuard(options: {
  readonly trusted: readonly Cidr[];
  readonly proxies: readonly string[];
  readonly logger: Pick<Logger, 'warn'>;
}): (request: Incoming) => void {
  const loopback = networkList(LOOPBACK);
  const isPrivate = networkList([
    '10.0.0.0/8',
    '172.16.0.0/12',
    '192.168.0.0/16',
    'fc00::/7',
    'fe80::/10',
  ]);
  const trusted = networkList(options.trusted);
  const proxies = networkList(options.proxies);
  const warned = new Set<string>();
  return (request) => {
    if (isSecure(request.raw, proxies)) return;
    const client = request.ip.replace(/^::ffff:(?=\d+\.)/i, '');
    if (isListed(loopback, client) || isListed(trusted, client)) return;
    if (!isListed(isPrivate, client)) {
      throw new V6Error('V6_VPN_PLAIN_HTTP', 'A client config is not sent over plain http', {
        hints: [
          'Set tls in the configuration of the server, or put a proxy with TLS in front of it that sends X-Forwarded-Proto.',
        ],
        details: { peer: client },
      });
    }
    if (warned.has(client) || warned.size > 1000) return;
    warned.add(client);
    options.logger.warn('A client config goes over plain http inside a private network', {
      code: 'V6_VPN_PLAIN_HTTP',
      peer: client,
    });
  };
}
