import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import { V6Error } from '../errors.ts';
import { decodeBase64 } from './message.ts';

/** Size of the keys that we make, in bits: that of upstream (vantage6-common 4.15, encryption.py). */
const KEY_BITS = 4096;
const LEAST_BITS = 2048;
const MOST_BITS = 16_384;

/** The public half of an organization's key pair. */
export interface PublicKey {
  readonly key: KeyObject;
  /** SHA-256 of the key in DER form (SubjectPublicKeyInfo), 64 hex digits. */
  readonly fingerprint: string;
  /** As the server keeps it: base64 of the whole PEM text, with its last newline. */
  readonly wire: string;
}

export interface PrivateKey {
  readonly key: KeyObject;
  readonly publicKey: PublicKey;
}

/** A new key pair, and its file: PEM, PKCS#1, without password, as upstream's. */
export async function generatePrivateKey(): Promise<{ key: PrivateKey; pem: string }> {
  const pair = await promisify(generateKeyPair)('rsa', {
    modulusLength: KEY_BITS,
    publicExponent: 65_537,
  });
  const pem = pair.privateKey.export({ type: 'pkcs1', format: 'pem' });
  return { key: withPublicHalf(pair.privateKey), pem: String(pem) };
}

/**
 * Reads the text of a private key file: PEM, PKCS#1 or PKCS#8, RSA, 2048 bits or more. Throws V6_ENCRYPTION_KEY_FILE with what it
 * is instead; never with a part of it.
 */
export function parsePrivateKey(pem: string, file: string): PrivateKey {
  const problem = (fault: string, hint: string): V6Error =>
    new V6Error('V6_ENCRYPTION_KEY_FILE', `${file} ${fault}`, {
      hints: [hint, 'Make a new key: v6 node create-private-key'],
      details: { file },
    });
  if (/-----BEGIN (RSA )?PUBLIC KEY-----/.test(pem))
    throw problem('holds a public key', 'Give the file of the private key.');
  if (/ENCRYPTED/.test(pem))
    throw problem(
      'has a password, which a node could not give',
      'Store it without: openssl rsa -traditional -in OLD -out NEW; chmod 600 NEW',
    );
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    // The reason of OpenSSL says nothing that helps, and may quote the file.
    throw problem(
      'is not a private key in PEM form',
      'It starts with -----BEGIN RSA PRIVATE KEY-----',
    );
  }
  const fault = faultOf(key);
  if (fault !== undefined) throw problem(fault, 'Messages are encrypted with RSA, 4096 bits.');
  return withPublicHalf(key);
}

/**
 * Reads `public_key` of an organization. Throws V6_ENCRYPTION_KEY_INVALID; `owner` names whose it is, such as
 * `organization 3 (North)`.
 */
export function parsePublicKey(wire: string, owner: string): PublicKey {
  const invalid = (fault: string): V6Error =>
    new V6Error('V6_ENCRYPTION_KEY_INVALID', `The public key of ${owner} ${fault}`, {
      hints: ['A member of that organization registers its key: v6 node create-private-key'],
      details: { owner },
    });
  if (wire === '') throw invalid('is not at the server, so nothing can be encrypted for it');
  // Python's decoder leaves out what is not of the alphabet, line ends for example.
  const pem = decodeBase64(wire.replaceAll(/\s/g, ''))?.toString('latin1') ?? '';
  if (!/^\s*-----BEGIN (RSA )?PUBLIC KEY-----/.test(pem)) throw invalid('is not a public key');
  let key: KeyObject;
  try {
    key = createPublicKey({ key: pem, format: 'pem' });
  } catch {
    throw invalid('cannot be read');
  }
  const fault = faultOf(key);
  if (fault !== undefined) throw invalid(fault);
  return { key, fingerprint: fingerprintOf(key), wire };
}

/** A fingerprint as people write it (with `SHA256:`, colons, spaces, capitals) in our form; undefined when it is none. */
export function parseFingerprint(text: string): string | undefined {
  const digits = text
    .replace(/^sha-?256:/i, '')
    .replaceAll(/[\s:]/g, '')
    .toLowerCase();
  return /^[0-9a-f]{64}$/.test(digits) ? digits : undefined;
}

function withPublicHalf(key: KeyObject): PrivateKey {
  const half = createPublicKey(key);
  const pem = String(half.export({ type: 'spki', format: 'pem' }));
  const wire = Buffer.from(pem, 'latin1').toString('base64');
  return { key, publicKey: { key: half, fingerprint: fingerprintOf(half), wire } };
}

function fingerprintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

function faultOf(key: KeyObject): string | undefined {
  if (key.asymmetricKeyType !== 'rsa') return `is of the kind ${key.asymmetricKeyType}, not RSA`;
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < LEAST_BITS) return `has ${bits} bits, ${LEAST_BITS} are the least`;
  return bits > MOST_BITS ? `has ${bits} bits, ${MOST_BITS} are the most` : undefined;
}
