import {
  constants,
  createCipheriv,
  createDecipheriv,
  type KeyObject,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { V6Error } from '../errors.ts';
import { unwrapKey } from './rsa-block.ts';

/**
 * Encrypted inputs and results of vantage6 4.x (vantage6-common 4.15, encryption.py, RSACryptor):
 *
 *   base64(RSA-PKCS1-v1_5(key)) $ base64(initial counter block) $ base64(AES-256-CTR(payload))
 *
 * The form has no authentication: what is protected and what is not stands in docs/encryption.md.
 */
const SEPARATOR = '$';
const CIPHER = 'aes-256-ctr';
const KEY_BYTES = 32;
const COUNTER_BYTES = 16;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Payload → text that only the holder of the private key can read. */
export function encryptMessage(payload: Uint8Array, publicKey: KeyObject): string {
  const key = randomBytes(KEY_BYTES);
  const counter = randomBytes(COUNTER_BYTES);
  const cipher = createCipheriv(CIPHER, key, counter);
  const content = Buffer.concat([cipher.update(payload), cipher.final()]);
  const wrapped = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, key);
  key.fill(0);
  return [wrapped, counter, content].map((part) => part.toString('base64')).join(SEPARATOR);
}

/**
 * Text → payload. Throws V6_ENCRYPTION_UNREADABLE, one error for everything that can be wrong with a text: it is not encrypted,
 * not for this key, or damaged. `what` names it in the message, such as `the input of run 41`.
 */
export function decryptMessage(text: string, privateKey: KeyObject, what: string): Uint8Array {
  const payload = tryDecrypt(text, privateKey);
  if (payload === undefined) throw unreadable(what);
  return withoutExtraLayer(payload);
}

/** True for the form of an encrypted text; plain texts are base64, which has no `$`. */
export function looksEncrypted(text: string): boolean {
  return text.includes(SEPARATOR);
}

/** base64 → bytes, strictly; undefined for anything else. */
export function decodeBase64(text: string): Buffer | undefined {
  return text.length % 4 === 0 && BASE64.test(text) ? Buffer.from(text, 'base64') : undefined;
}

function tryDecrypt(text: string, privateKey: KeyObject): Uint8Array | undefined {
  const parts = text.split(SEPARATOR);
  const [wrapped, counter, content] = parts.map(decodeBase64);
  if (parts.length !== 3 || !wrapped || !counter || !content) return undefined;
  if (counter.length !== COUNTER_BYTES) return undefined;
  const key = unwrapKey(wrapped, privateKey);
  if (key === undefined) return undefined;
  const decipher = createDecipheriv(CIPHER, key, counter);
  return Buffer.concat([decipher.update(content), decipher.final()]);
}

/**
 * The web interface of vantage6 encrypts base64 of the payload (vantage6-common 4.15, encryption.py, `decrypt_str_to_bytes`):
 * what is base64 of JSON, and not JSON itself, is decoded once more. Anything else stays as it is.
 */
function withoutExtraLayer(payload: Uint8Array): Uint8Array {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  // A look at the start spares large payloads the rest.
  if (bytes.length === 0 || !BASE64.test(bytes.subarray(0, 64).toString('latin1'))) return payload;
  const text = bytes.toString('latin1');
  if (isJson(text)) return payload;
  const decoded = decodeBase64(text);
  return decoded !== undefined && isJson(decoded.toString('utf8')) ? decoded : payload;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function unreadable(what: string): V6Error {
  return new V6Error('V6_ENCRYPTION_UNREADABLE', `The private key does not open ${what}`, {
    hints: [
      'It was encrypted for another key, changed on the way, or never encrypted.',
      'All nodes and users of an organization need the same private key, and the server its public part: v6 node keys list',
    ],
  });
}
