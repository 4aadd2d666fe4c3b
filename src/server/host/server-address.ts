import type { ServerConfig } from '../../core/config/server-config.ts';
import { V6Error } from '../../core/errors.ts';

/** Where a server listens, or is published. */
export interface ServerAddress {
  readonly ip: string;
  readonly port: number;
}

const EVERYWHERE = new Set(['', '0.0.0.0', '::']);

/** Where this machine reaches the server, with api path: over loopback when it listens everywhere. */
export function localServerUrl(
  { ip, port }: ServerAddress,
  { apiPath, transport }: Pick<ServerConfig, 'apiPath' | 'transport'>,
): string {
  const scheme = transport.tls === undefined ? 'http' : 'https';
  const host = EVERYWHERE.has(ip) ? '127.0.0.1' : ip;
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}${apiPath}`;
}

/** The address as the engine wants it for a published port. Throws V6_USAGE for a name. */
export function publishedAddress(ip: string): string {
  if (ip === 'localhost') return '127.0.0.1';
  if (/^[\d.]+$/.test(ip) || ip.includes(':')) return ip;
  throw new V6Error('V6_USAGE', `A container cannot be published on the name ${ip}`, {
    hints: ['Set ip to an address, or start with --network host or --detached.'],
  });
}
