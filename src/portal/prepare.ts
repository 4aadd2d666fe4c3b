import path from 'node:path';
import type { Clock } from '../core/clock.ts';
import { V6Error } from '../core/errors.ts';
import type { CertificateMaker, KeyedCertificate } from './interfaces/certificates.ts';
import type { PortalFiles } from './interfaces/files.ts';
import { renderServerConfig } from './server-config.ts';
import type { EmbeddedPortalSettings, PortalPaths } from './settings.ts';
import { renderStaticKey, STATIC_KEY_BYTES } from './static-key.ts';
import { IPV6_PUSHES, serverProcesses } from './test-modes.ts';

const YEAR_MS = 365 * 24 * 3600_000;
/** The authority lives ten years (eduVPN `caExpiry`); nothing that it signs outlives it. */
const AUTHORITY_YEARS = 10;
const BACKDATED_MS = 5 * 60_000;

export interface PrepareDeps {
  readonly files: PortalFiles;
  readonly certificates: CertificateMaker;
  readonly clock: Pick<Clock, 'now'>;
  readonly randomBytes: (size: number) => Uint8Array;
}

export interface KeyMaterial {
  readonly authority: KeyedCertificate;
  readonly authorityEndsAt: Date;
  readonly staticKey: string;
}

/**
 * Certificate authority, keys and configuration of the VPN server: made at the first start, found at later ones. The
 * server's configuration is written last, so that a VPN server that waits for it finds everything.
 */
export async function prepareKeys(
  deps: PrepareDeps,
  settings: EmbeddedPortalSettings,
  paths: PortalPaths,
): Promise<KeyMaterial> {
  const authority = await ensurePair(
    deps.files,
    { certificate: paths.authorityCertificate, privateKey: paths.authorityKey },
    () => {
      const now = deps.clock.now().getTime();
      return deps.certificates.makeAuthority(
        new Date(now - BACKDATED_MS),
        new Date(now + AUTHORITY_YEARS * YEAR_MS),
      );
    },
  );
  const authorityEndsAt = deps.certificates.endOf(authority.certificate);
  await ensureServer(deps, settings, paths, { authority, authorityEndsAt });
  let staticKey = await deps.files.read(paths.staticKey);
  if (staticKey === undefined) {
    staticKey = renderStaticKey(deps.randomBytes(STATIC_KEY_BYTES));
    await deps.files.write(paths.staticKey, `${staticKey}\n`);
  }
  return { authority, authorityEndsAt, staticKey: staticKey.trim() };
}

/** Writes the VPN server's configuration; from here on it can start. */
export async function writeServerConfig(
  files: PortalFiles,
  settings: EmbeddedPortalSettings,
  paths: PortalPaths,
): Promise<void> {
  for (const { configName, hasPool, ...process } of serverProcesses(settings)) {
    const pool = hasPool ? { network: settings.subnet } : undefined;
    const pushes = settings.testModes?.pushesIpv6 ? IPV6_PUSHES : [];
    const text = renderServerConfig({ port: settings.vpn.port, ...process, pool, pushes });
    const file = path.join(paths.vpnServer, configName);
    if ((await files.read(file)) !== text) await files.write(file, text);
  }
}

async function ensureServer(
  deps: PrepareDeps,
  settings: EmbeddedPortalSettings,
  paths: PortalPaths,
  { authority, authorityEndsAt }: Omit<KeyMaterial, 'staticKey'>,
): Promise<void> {
  await ensurePair(
    deps.files,
    { certificate: paths.serverCertificate, privateKey: paths.serverKey },
    () =>
      deps.certificates.makeServer(authority, {
        commonName: 'v6-vpn-server',
        organizationalUnit: settings.profile.id,
        notBefore: new Date(deps.clock.now().getTime() - BACKDATED_MS),
        notAfter: authorityEndsAt,
      }),
  );
  const known = await deps.files.read(paths.serverAuthority);
  const wanted = `${authority.certificate}\n`;
  if (known !== wanted) await deps.files.write(paths.serverAuthority, wanted);
}

async function ensurePair(
  files: PortalFiles,
  at: { readonly certificate: string; readonly privateKey: string },
  make: () => Promise<KeyedCertificate>,
): Promise<KeyedCertificate> {
  const certificate = await files.read(at.certificate);
  const privateKey = await files.read(at.privateKey);
  if (certificate !== undefined && privateKey !== undefined) {
    return { certificate: certificate.trim(), privateKey: privateKey.trim() };
  }
  // The certificate is written last: with it the pair is complete, without it nobody has used the key.
  if (certificate !== undefined) {
    throw new V6Error(
      'V6_CONFIG_INVALID',
      `The private key of ${at.certificate} is missing: ${at.privateKey}`,
      {
        hints: [
          'Restore it from a backup.',
          `Or remove ${path.dirname(at.certificate)}: then every node needs a new configuration.`,
        ],
      },
    );
  }
  const made = await make();
  await files.write(at.privateKey, `${made.privateKey}\n`);
  await files.write(at.certificate, `${made.certificate}\n`);
  return made;
}
