import { ipKindOf } from '../net/ip-kind.ts';
import type { KeyReader } from './key-reader.ts';

/** What the configuration says about connections. */
export interface TransportSettings {
  /** Ours, `tls`: the server speaks https and wss itself. Absolute paths of PEM files. */
  readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  /** Ours, `trusted_proxies`: networks whose `X-Forwarded-*` headers count; default is loopback. */
  readonly trustedProxies: readonly string[];
  /** Ours, `require_tls`, default false: plain http is refused, unless a trusted proxy says that it took the request over https. */
  readonly requireTls: boolean;
  /** `cors_allowed_origins`: origins of web pages that may ask; default all. */
  readonly corsOrigins: '*' | readonly string[];
  /** Ours, `rate_limits.requests_per_minute`: of one identity, or of one address where nobody is logged in; 60–1000000, default 30000. */
  readonly requestsPerMinute: number;
}

export const LOOPBACK: readonly string[] = ['127.0.0.0/8', '::1/128'];

export const DEFAULT_TRANSPORT: TransportSettings = {
  tls: undefined,
  trustedProxies: LOOPBACK,
  requireTls: false,
  corsOrigins: '*',
  requestsPerMinute: 30_000,
};

/** Reads the keys about connections; what is wrong goes to the reader's problems. */
export function readTransport(keys: KeyReader): TransportSettings {
  return {
    tls: readTls(keys),
    trustedProxies: readProxies(keys),
    requireTls: keys.flag('require_tls') ?? DEFAULT_TRANSPORT.requireTls,
    corsOrigins: readOrigins(keys),
    requestsPerMinute:
      keys.below('rate_limits').integer('requests_per_minute', { from: 60, to: 1_000_000 }) ??
      DEFAULT_TRANSPORT.requestsPerMinute,
  };
}

function readTls(keys: KeyReader): TransportSettings['tls'] {
  if (keys.raw('tls') === undefined) return undefined;
  const tls = keys.below('tls');
  const [certificate, key] = [tls.text('certificate'), tls.text('key')];
  if (certificate === undefined)
    tls.problem('certificate', 'is missing: a PEM file with the chain');
  if (key === undefined) tls.problem('key', 'is missing: a PEM file with the private key');
  if (certificate === undefined || key === undefined) return undefined;
  for (const [name, path] of Object.entries({ certificate, key }))
    if (!path.startsWith('/'))
      tls.problem(name, `must be an absolute path, not ${JSON.stringify(path)}`);
  return { certificate, key };
}

function readProxies(keys: KeyReader): readonly string[] {
  const texts = keys.texts('trusted_proxies');
  if (texts === undefined) return DEFAULT_TRANSPORT.trustedProxies;
  for (const [at, text] of texts.entries()) {
    const fault = networkFault(text);
    if (fault !== undefined) keys.problem(`trusted_proxies[${at}]`, fault);
  }
  return texts;
}

function networkFault(text: string): string | undefined {
  const [address = '', length, ...rest] = text.split('/');
  const kind = ipKindOf(address);
  const quoted = JSON.stringify(text);
  if (kind === undefined || rest.length > 0)
    return `must be an address or a network such as 10.0.0.0/8 or fd00::/8, not ${quoted}`;
  if (length === undefined) return undefined;
  const bits = /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (!(bits >= 0 && bits <= (kind === 'ipv4' ? 32 : 128)))
    return `has a length that no network has: ${quoted}`;
  // Everybody could then say of himself where he comes from.
  return bits === 0 ? `must not be every address, as ${quoted} is` : undefined;
}

/** Upstream takes texts for regular expressions; an origin is compared as a whole here, because `.` in one would fit any character. */
function readOrigins(keys: KeyReader): TransportSettings['corsOrigins'] {
  const texts = keys.texts('cors_allowed_origins');
  if (texts === undefined || texts.includes('*')) return '*';
  const origins = texts.map((text) => text.replace(/\/$/, ''));
  for (const [at, origin] of origins.entries()) {
    if (URL.canParse(origin) && new URL(origin).origin === origin) continue;
    const key = Array.isArray(keys.raw('cors_allowed_origins')) ? `[${at}]` : '';
    keys.problem(
      `cors_allowed_origins${key}`,
      `must be * or an origin such as https://ui.example.org, not ${JSON.stringify(texts[at])}`,
    );
  }
  return origins;
}
