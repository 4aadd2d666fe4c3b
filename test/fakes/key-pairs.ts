import { generateKeyPairSync } from 'node:crypto';
import { type PrivateKey, parsePrivateKey } from '../../src/core/crypto/keys.ts';

const made = new Map<string, { readonly pem: string; readonly key: PrivateKey }>();

/** A key pair by its name, the same one at each call. Smaller than real ones, because those take their time to make. */
export function keyPair(name: string): { readonly pem: string; readonly key: PrivateKey } {
  const known = made.get(name);
  if (known !== undefined) return known;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = String(privateKey.export({ type: 'pkcs1', format: 'pem' }));
  const pair = { pem, key: parsePrivateKey(pem, name) };
  made.set(name, pair);
  return pair;
}

export const publicKeyOf = (name: string): string => keyPair(name).key.publicKey.wire;
export const fingerprintOf = (name: string): string => keyPair(name).key.publicKey.fingerprint;
