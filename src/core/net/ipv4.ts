import { V6Error } from '../errors.ts';

/** A dotted-quad IPv4 address, four decimal parts without leading zeros. */
export type Ipv4 = string & { readonly __brand: 'Ipv4' };
/** An IPv4 network in CIDR form whose host bits are zero. */
export type Cidr = string & { readonly __brand: 'Cidr' };

const QUAD = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

/** The address as a number, 0 to 2^32 − 1. Undefined when the text is not a dotted quad. */
export function ipv4ToNumber(text: string): number | undefined {
  const match = QUAD.exec(text);
  if (!match) return undefined;
  const parts = match.slice(1).map(Number);
  if (parts.some((part) => part > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

export function isIpv4(text: string): text is Ipv4 {
  return ipv4ToNumber(text) !== undefined;
}

/** Throws V6_CONFIG_SUBNET when `text` is not an IPv4 address; `what` names the setting. */
export function parseIpv4(text: string, what: string): Ipv4 {
  if (!isIpv4(text)) {
    throw new V6Error(
      'V6_CONFIG_SUBNET',
      `${what} is not an IPv4 address: ${JSON.stringify(text)}`,
      {
        hints: [`Give ${what} as four numbers, for example 10.76.0.5.`],
      },
    );
  }
  return text;
}

export function numberToIpv4(value: number): Ipv4 {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.') as Ipv4;
}

export interface Range {
  /** First address as a number. */
  readonly start: number;
  /** Last address as a number, included. */
  readonly end: number;
  /** Prefix length, 0–32. */
  readonly prefix: number;
}

/** Parses `a.b.c.d/len`; host bits must be zero. Throws V6_CONFIG_SUBNET naming `what` and the nearest valid network. */
export function parseCidr(text: string, what: string): Cidr {
  const [address = '', length = '', extra] = text.split('/');
  const start = ipv4ToNumber(address);
  const prefix = /^(0|[1-9]\d?)$/.test(length) ? Number(length) : Number.NaN;
  if (start === undefined || extra !== undefined || !(prefix >= 0 && prefix <= 32)) {
    throw new V6Error(
      'V6_CONFIG_SUBNET',
      `${what} is not an IPv4 network: ${JSON.stringify(text)}`,
      {
        hints: [`Give ${what} in CIDR form, for example 10.76.0.0/16.`],
      },
    );
  }
  const size = 2 ** (32 - prefix);
  if (start % size !== 0) {
    const network = `${numberToIpv4(start - (start % size))}/${prefix}`;
    throw new V6Error('V6_CONFIG_SUBNET', `${what} has host bits set: ${text}`, {
      hints: [`Did you mean ${network}?`],
      details: { suggestion: network },
    });
  }
  return text as Cidr;
}

/** First and last address of a network. The argument must come from parseCidr. */
export function rangeOf(cidr: Cidr): Range {
  const [address = '', length = '32'] = cidr.split('/');
  const start = ipv4ToNumber(address) ?? 0;
  const prefix = Number(length);
  return { start, end: start + 2 ** (32 - prefix) - 1, prefix };
}

export function containsAddress(cidr: Cidr, address: string): boolean {
  const value = ipv4ToNumber(address);
  const { start, end } = rangeOf(cidr);
  return value !== undefined && value >= start && value <= end;
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  const x = rangeOf(a);
  const y = rangeOf(b);
  return x.start <= y.end && y.start <= x.end;
}

/** The address at `offset` (0 = network address) of a network. Throws RangeError when outside. */
export function addressAt(cidr: Cidr, offset: number): Ipv4 {
  const { start, end } = rangeOf(cidr);
  if (offset < 0 || start + offset > end)
    throw new RangeError(`offset ${offset} is outside ${cidr}`);
  return numberToIpv4(start + offset);
}

/** The consecutive subnets of length `prefix` inside a network, in order. Lazy: a /8 has many. */
export function* subnetsOf(cidr: Cidr, prefix: number): Generator<Cidr> {
  const { start, end } = rangeOf(cidr);
  const size = 2 ** (32 - prefix);
  for (let at = start; at + size - 1 <= end; at += size)
    yield `${numberToIpv4(at)}/${prefix}` as Cidr;
}

/** `255.255.0.0` for 16. */
export function netmaskOf(cidr: Cidr): Ipv4 {
  const { prefix } = rangeOf(cidr);
  return numberToIpv4(2 ** 32 - 2 ** (32 - prefix));
}

/**
 * The first network of length `prefix` out of `candidates` that overlaps none of `taken`.
 * Throws V6_NET_NO_FREE_RANGE with what is taken.
 */
export function findFreeCidr(
  candidates: readonly Cidr[],
  prefix: number,
  taken: readonly Cidr[],
): Cidr {
  for (const candidate of candidates) {
    for (const subnet of subnetsOf(candidate, prefix)) {
      if (!taken.some((other) => overlaps(subnet, other))) return subnet;
    }
  }
  throw new V6Error(
    'V6_NET_NO_FREE_RANGE',
    `No free /${prefix} network in ${candidates.join(', ')}`,
    {
      hints: ['Set isolated_range or uplink_network to a network that is free on this host.'],
      details: { taken },
    },
  );
}
