import type { IncomingMessage } from 'node:http';
import { BlockList, isIPv4 } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** Networks as `node:net` compares them; entries are addresses or CIDRs of either kind. */
export function networkList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', length] = network.split('/');
    const kind = isIPv4(address) ? 'ipv4' : 'ipv6';
    if (length === undefined) list.addAddress(address, kind);
    else list.addSubnet(address, Number(length), kind);
  }
  return list;
}

/** False for what is no address. An IPv4 address that came over an IPv6 socket counts as what it is. */
export function isListed(list: BlockList, address: string | undefined): boolean {
  const plain = (address ?? '').replace(/^::ffff:(?=\d+\.)/i, '');
  if (plain === '') return false;
  return list.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6');
}

/**
 * Whether the client spoke TLS: to us, or to a trusted proxy that says so in the last `X-Forwarded-Proto`. A proxy that passes a
 * client on (`X-Forwarded-For`) without saying how it came has not said that it was TLS. Other peers may write what they like.
 */
export function isSecure(
  message: Pick<IncomingMessage, 'headers' | 'socket'>,
  proxies: BlockList,
): boolean {
  const { headers, socket } = message;
  const isEncrypted = (socket as Partial<TLSSocket>).encrypted === true;
  if (!isListed(proxies, socket.remoteAddress)) return isEncrypted;
  const said = [headers['x-forwarded-proto'] ?? []].flat().join(',');
  if (said !== '') return said.split(',').at(-1)?.trim().toLowerCase() === 'https';
  return headers['x-forwarded-for'] === undefined && isEncrypted;
}
