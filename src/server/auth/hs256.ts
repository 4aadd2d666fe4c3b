import { createHmac, timingSafeEqual } from 'node:crypto';
import { isRecord } from '../../core/protocol/json.ts';

/** Registered claims that we look at (RFC 7519, 4.1), and whatever else the token has. */
export interface Claims {
  readonly sub?: unknown;
  readonly aud?: unknown;
  readonly jti?: string;
  /** Seconds since 1970. */
  readonly exp?: number;
  readonly nbf?: number;
  readonly iat?: number;
  readonly [name: string]: unknown;
}

/** What is wrong with a token; an expired one has a good signature. */
export type TokenFault = 'invalid' | 'expired';

/** 64 KiB of headers is Node's limit for all of them. */
const MAX_LENGTH = 32_768;
/** HMAC-SHA-256 as base64url without padding: letters of one byte each. */
const SIGNATURE = /^[\w-]{43}$/;

/**
 * Claims of a signed token (RFC 7515 compact form) with this key and the one algorithm that we make, whatever its header asks for
 * (RFC 8725, 3.1). Checks signature, `exp` and `nbf`. Here and not in a library, because those we know ask the system's thread
 * pool: every request would go round the event loop twice more for 5 µs of work, and a thousand nodes would cost 15 MiB of it.
 */
export function readHs256(token: string, key: Uint8Array, now: Date): Claims | TokenFault {
  const [header = '', payload = '', signature = '', ...rest] = token.split('.');
  if (rest.length > 0 || token.length > MAX_LENGTH || !SIGNATURE.test(signature)) return 'invalid';
  const wanted = createHmac('sha256', key).update(`${header}.${payload}`).digest('base64url');
  // Texts and not bytes: decoding forgives, and one token would have many spellings.
  if (!timingSafeEqual(Buffer.from(wanted), Buffer.from(signature))) return 'invalid';
  const { alg, crit } = parsePart(header) ?? {};
  // An extension that has to be understood is one that we do not (RFC 7515, 4.1.11).
  if (alg !== 'HS256' || crit !== undefined) return 'invalid';
  const claims = parsePart(payload);
  if (claims === undefined || !hasDates(claims)) return 'invalid';
  const seconds = Math.floor(now.getTime() / 1000);
  if (claims.exp !== undefined && claims.exp <= seconds) return 'expired';
  if (claims.nbf !== undefined && claims.nbf > seconds) return 'invalid';
  return claims;
}

function parsePart(part: string): Readonly<Record<string, unknown>> | undefined {
  if (!/^[\w-]+$/.test(part)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function hasDates(claims: Readonly<Record<string, unknown>>): claims is Claims {
  const { exp, nbf, iat, jti } = claims;
  const isDate = (value: unknown): boolean => value === undefined || Number.isFinite(value);
  return [exp, nbf, iat].every(isDate) && (jti === undefined || typeof jti === 'string');
}
