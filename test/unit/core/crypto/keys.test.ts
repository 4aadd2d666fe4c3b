import { createHash, generateKeyPairSync } from 'node:crypto';
import { expect, it } from 'vitest';
import {
  generatePrivateKey,
  parseFingerprint,
  parsePrivateKey,
  parsePublicKey,
} from '../../../../src/core/crypto/keys.ts';

const pem = (key: { export(options: object): unknown }, type: string, more = {}) =>
  String(key.export({ type, format: 'pem', ...more }));
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const wire = (text: string) => Buffer.from(text).toString('base64');

it('makes keys as upstream does: RSA, 4096 bits, PKCS#1, without password', async () => {
  const { key, pem: text } = await generatePrivateKey();
  expect(text).toMatch(
    /^-----BEGIN RSA PRIVATE KEY-----\n[\s\S]+\n-----END RSA PRIVATE KEY-----\n$/,
  );
  expect(key.key.asymmetricKeyDetails).toMatchObject({
    modulusLength: 4096,
    publicExponent: 65537n,
  });
  expect(parsePrivateKey(text, 'file').publicKey.fingerprint).toBe(key.publicKey.fingerprint);
});

it('sends the public key as base64 of the whole PEM text, last newline included', () => {
  const { publicKey } = parsePrivateKey(pem(rsa.privateKey, 'pkcs1'), 'file');
  expect(Buffer.from(publicKey.wire, 'base64').toString()).toBe(pem(rsa.publicKey, 'spki'));
  expect(publicKey.wire).toBe(wire(pem(rsa.publicKey, 'spki')));
  expect(parsePublicKey(publicKey.wire, 'us').fingerprint).toBe(publicKey.fingerprint);
});

it('has the fingerprint that `openssl … | sha256sum` shows', () => {
  const der = rsa.publicKey.export({ type: 'spki', format: 'der' });
  const { publicKey } = parsePrivateKey(pem(rsa.privateKey, 'pkcs8'), 'file');
  expect(publicKey.fingerprint).toBe(createHash('sha256').update(der).digest('hex'));
});

it('says what a file holds that is no usable private key, and quotes nothing of it', () => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const locked = pem(rsa.privateKey, 'pkcs8', { cipher: 'aes-256-cbc', passphrase: 'x' });
  const cases: [string, RegExp][] = [
    [pem(rsa.publicKey, 'spki'), /holds a public key/],
    [locked, /has a password/],
    [pem(ec.privateKey, 'sec1'), /of the kind ec, not RSA/],
    [pem(small.privateKey, 'pkcs1'), /has 1024 bits, 2048 are the least/],
    ['', /is not a private key in PEM form/],
    ['-----BEGIN RSA PRIVATE KEY-----\nsecretsecret\n-----END RSA PRIVATE KEY-----', /PEM form/],
  ];
  for (const [text, message] of cases) {
    const failure = expect.objectContaining({
      code: 'V6_ENCRYPTION_KEY_FILE',
      message: expect.stringMatching(message),
    });
    expect(() => parsePrivateKey(text, '/keys/a.pem')).toThrow(failure);
    expect(() => parsePrivateKey(text, '/keys/a.pem')).not.toThrow(/secretsecret/);
  }
});

it('refuses what a server gives for a public key and is none', () => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  for (const text of [
    '',
    '***',
    wire('hello'),
    wire(pem(rsa.privateKey, 'pkcs1')),
    wire('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'),
    wire(pem(ec.publicKey, 'spki')),
  ])
    expect(() => parsePublicKey(text, 'organization 3')).toThrow(
      expect.objectContaining({ code: 'V6_ENCRYPTION_KEY_INVALID' }),
    );
});

it('reads fingerprints as people write them', () => {
  const digits = 'ab'.repeat(32);
  const colons = digits.toUpperCase().match(/../g)?.join(':') ?? '';
  for (const text of [
    digits,
    `SHA256:${digits}`,
    colons,
    ` ${digits.slice(0, 32)} ${digits.slice(32)} `,
  ])
    expect(parseFingerprint(text)).toBe(digits);
  for (const text of ['', 'ab', `${digits}ab`, `z${digits.slice(1)}`])
    expect(parseFingerprint(text)).toBeUndefined();
});
