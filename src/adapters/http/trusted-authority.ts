import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { V6Error } from '../../core/errors.ts';

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * Lets this process believe certificates of one more authority: of a server inside a hospital, for example. It stays in force
 * for all connections of the process. Throws V6_CONFIG_INVALID, naming the file.
 */
export async function trustAuthority(file: string): Promise<void> {
  const certificates = (await read(file)).match(PEM) ?? [];
  try {
    for (const certificate of certificates) assertReadable(certificate);
  } catch (error) {
    throw invalid(file, 'holds a certificate that cannot be read', error);
  }
  if (certificates.length === 0) throw invalid(file, 'holds no certificate in PEM form');
  setDefaultCACertificates([...getCACertificates('default'), ...certificates]);
}

const assertReadable = (certificate: string): X509Certificate => new X509Certificate(certificate);

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw invalid(file, 'cannot be read', error);
  }
}

function invalid(file: string, fault: string, cause?: unknown): V6Error {
  return new V6Error('V6_CONFIG_INVALID', `${file} ${fault}`, {
    hints: ['Check server_ca in the configuration of the node.'],
    details: { file },
    ...(cause === undefined ? {} : { cause }),
  });
}
