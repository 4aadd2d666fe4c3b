// x509 needs the metadata API before it is loaded.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type {
  CertificateInput,
  CertificateMaker,
  KeyedCertificate,
} from './interfaces/certificates.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Certificates with EC P-256 keys, which every OpenVPN since 2.4 reads, whatever its TLS library. */
export function createCertificateMaker(): CertificateMaker {
  return {
    makeAuthority,
    makeServer: (authority, input) =>
      makeLeaf(authority, input, x509.ExtendedKeyUsage.serverAuth, [
        new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: input.commonName }]),
      ]),
    makeClient: (authority, input) =>
      makeLeaf(authority, input, x509.ExtendedKeyUsage.clientAuth, []),
    endOf: (certificate) => new x509.X509Certificate(certificate).notAfter,
  };
}

async function makeAuthority(notBefore: Date, notAfter: Date): Promise<KeyedCertificate> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: 'CN=VPN CA',
      notBefore,
      notAfter,
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { certificate: pem(certificate), privateKey: await exportKey(keys.privateKey) };
}

async function makeLeaf(
  authority: KeyedCertificate,
  input: CertificateInput,
  usage: x509.ExtendedKeyUsage,
  extra: readonly x509.Extension[],
): Promise<KeyedCertificate> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      subject: [{ OU: [input.organizationalUnit] }, { CN: [input.commonName] }],
      issuer: issuer.subject,
      notBefore: input.notBefore,
      notAfter: input.notAfter,
      publicKey: keys.publicKey,
      signingKey: await importKey(authority.privateKey),
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([usage]),
        await x509.AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
        ...extra,
      ],
    },
    webcrypto,
  );
  return { certificate: pem(certificate), privateKey: await exportKey(keys.privateKey) };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(
    await webcrypto.subtle.exportKey('pkcs8', key),
    'PRIVATE KEY',
  ).trim();
}

function importKey(text: string): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey(
    'pkcs8',
    x509.PemConverter.decodeFirst(text),
    ALGORITHM,
    false,
    ['sign'],
  );
}

const pem = (certificate: x509.X509Certificate): string => certificate.toString('pem').trim();

/** 127 random bits: positive in DER, so never read with another sign. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
