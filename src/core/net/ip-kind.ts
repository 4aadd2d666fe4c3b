import { isIpv4 } from './ipv4.ts';

/** The kind of an address text, undefined for anything else. IPv6 as in RFC 4291, with an embedded IPv4 part too; no zones. */
export function ipKindOf(text: string): 'ipv4' | 'ipv6' | undefined {
  if (isIpv4(text)) return 'ipv4';
  if (!/^[\da-f:.]+$/i.test(text) || !text.includes(':')) return undefined;
  return URL.canParse(`http://[${text}]/`) ? 'ipv6' : undefined;
}
