import { constants, type KeyObject, privateDecrypt } from 'node:crypto';

/** A key for AES-256, in bytes. */
const KEY_BYTES = 32;
/** base64 of such a key, which is what vantage6's web interface wraps. */
const KEY_TEXT_BYTES = 44;
/** At least this much padding (RFC 8017, section 7.2.2). */
const LEAST_PADDING = 8;

/**
 * Unwraps the key of a message: RSAES-PKCS1-v1_5 (RFC 8017, 7.2.2). Undefined when the block was not made for this key or was
 * changed; nothing tells why.
 *
 * The padding is taken away here and not by OpenSSL: since 3.2 that answers a bad block with a random text of random length
 * ("implicit rejection"), so a wrong private key would now and then yield a key, and a wrong result. Every byte of the block is
 * looked at in any case.
 */
export function unwrapKey(block: Uint8Array, privateKey: KeyObject): Uint8Array | undefined {
  let padded: Buffer;
  try {
    padded = privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, block);
  } catch {
    return undefined;
  }
  const end = padded.length;
  const raw = endsWithKey(padded, KEY_BYTES);
  const text = endsWithKey(padded, KEY_TEXT_BYTES);
  if (raw === 1) return padded.subarray(end - KEY_BYTES);
  if (text === 1) return decodeKeyText(padded.subarray(end - KEY_TEXT_BYTES).toString('latin1'));
  return undefined;
}

/** 1 when the block is `00 02 <no zeros> 00 <length bytes>`, else 0. */
function endsWithKey(padded: Uint8Array, length: number): 0 | 1 {
  const separator = padded.length - length - 1;
  if (separator < 2 + LEAST_PADDING) return 0;
  let faults = (padded[0] ?? 1) | ((padded[1] ?? 0) ^ 2) | (padded[separator] ?? 1);
  for (let at = 2; at < separator; at += 1) faults |= isZero(padded[at] ?? 0);
  return isZero(faults);
}

/** 1 for 0, 0 for 1 to 255, without a branch. */
function isZero(byte: number): 0 | 1 {
  return (((byte - 1) >>> 31) & 1) as 0 | 1;
}

function decodeKeyText(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) return undefined;
  const key = Buffer.from(text, 'base64');
  return key.length === KEY_BYTES ? key : undefined;
}
