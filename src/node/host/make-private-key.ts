import path from 'node:path';
import { generatePrivateKey, type PrivateKey, parsePublicKey } from '../../core/crypto/keys.ts';
import { V6Error } from '../../core/errors.ts';

export interface KeyFiles {
  /** Undefined when there is no file. Throws V6_ENCRYPTION_KEY_FILE for one that holds no good key. */
  find(file: string): Promise<PrivateKey | undefined>;
  /** Throws V6_ENCRYPTION_KEY_FILE (it exists, without `overwrite`), V6_CONFIG_WRITE. */
  write(
    file: string,
    pem: string,
    options: { readonly overwrite: boolean },
  ): Promise<{ readonly backup: string | null }>;
}

/** The organization at the server whose public key is to be stored. */
export interface KeyRegistry {
  readonly organization: number;
  /** base64 of the PEM text; empty when there is none. */
  readonly publicKey: string;
  register(publicKey: string): Promise<void>;
}

export interface MakeKeyInput {
  readonly file: string;
  /** Make a new key although there is one, and keep the old file. */
  readonly overwrite: boolean;
  /** Absent: nothing is sent to a server. */
  readonly registry?: KeyRegistry;
  /** Replace whatever key the server has. */
  readonly replaceRegistered: boolean;
}

export interface MadeKey {
  readonly file: string;
  /** False: there was a key, and it is used. */
  readonly created: boolean;
  readonly backup: string | null;
  /** SHA-256 of the public key, hex. */
  readonly fingerprint: string;
  /** True when the server has the public key now. */
  readonly registered: boolean;
}

/** `privkey_<organization>.pem`, upstream's name (vantage6 4.15 cli, node/create_private_key.py), safe for a file. */
export function privateKeyFile(folder: string, organization: string): string {
  const name = organization.replaceAll(/[/\\\p{Cc}]/gu, '_');
  return path.join(folder, `privkey_${name}.pem`);
}

/**
 * Makes an organization's private key, or takes the one that is there, and registers its public half. The server's key is
 * replaced only when it is the one that is being overwritten here, or when told so: V6_ENCRYPTION_OWN_KEY, before anything is
 * written.
 */
export async function makePrivateKey(
  files: KeyFiles,
  input: MakeKeyInput,
  generate = generatePrivateKey,
): Promise<MadeKey> {
  const { file, overwrite, registry } = input;
  const old = overwrite ? await findOld(files, file) : await files.find(file);
  const kept = overwrite ? undefined : old;
  if (registry !== undefined && !input.replaceRegistered) refuseReplacing(registry, old);
  const made = kept === undefined ? await generate() : undefined;
  const written = made && (await files.write(file, made.pem, { overwrite }));
  const { publicKey } = (made?.key ?? kept) as PrivateKey;
  if (registry !== undefined && registry.publicKey !== publicKey.wire)
    await registry.register(publicKey.wire);
  return {
    file,
    created: made !== undefined,
    backup: written?.backup ?? null,
    fingerprint: publicKey.fingerprint,
    registered: registry !== undefined,
  };
}

/** What is to be overwritten may be anything, also a damaged file. */
async function findOld(files: KeyFiles, file: string): Promise<PrivateKey | undefined> {
  try {
    return await files.find(file);
  } catch {
    return undefined;
  }
}

function refuseReplacing({ organization, publicKey }: KeyRegistry, own: PrivateKey | undefined) {
  if (publicKey === '') return;
  const registered = fingerprintOf(publicKey);
  if (registered === own?.publicKey.fingerprint) return;
  throw new V6Error(
    'V6_ENCRYPTION_OWN_KEY',
    `The server has a public key for organization ${organization} already: ${registered}`,
    {
      hints: [
        'Use the private key that belongs to it: copy its file, and give its path to nodes and users.',
        'With --replace-registered it is replaced: whoever still uses the old private key can read nothing new.',
      ],
      details: { organization, registered },
    },
  );
}

function fingerprintOf(publicKey: string): string {
  try {
    return parsePublicKey(publicKey, 'the organization').fingerprint;
  } catch {
    return 'unreadable';
  }
}
