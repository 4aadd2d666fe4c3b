/** PEM texts without a final line end. */
export interface KeyedCertificate {
  readonly certificate: string;
  /** PKCS#8 */
  readonly privateKey: string;
}

/** Makes X.509 certificates; keeps nothing. */
export interface CertificateMaker {
  /** Self-signed, path length 0. */
  makeAuthority(notBefore: Date, notAfter: Date): Promise<KeyedCertificate>;
  makeServer(authority: KeyedCertificate, input: CertificateInput): Promise<KeyedCertificate>;
  makeClient(authority: KeyedCertificate, input: CertificateInput): Promise<KeyedCertificate>;
  endOf(certificate: string): Date;
}

export interface CertificateInput {
  /** Also a file name: letters, digits, dot and dash only. */
  readonly commonName: string;
  /** The profile, as eduVPN has it. */
  readonly organizationalUnit: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}
