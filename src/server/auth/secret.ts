import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import type { MetaStore } from '../interfaces/store.ts';

const FILE = 'server-secret';
const BYTES = 32;

/** Keys of this server, each for one purpose (RFC 5869), so that none can stand in for another. */
export interface ServerKeys {
  /** Signs tokens. */
  readonly jwt: Uint8Array;
  /** Digests API keys. */
  readonly apiKey: Buffer;
  /** Encrypts what the portal gave us. */
  readonly vpnTokens: Buffer;
  /** Encrypts the secrets of second factors. */
  readonly secondFactors: Buffer;
  /** Digests what mails carry, and who tries to log in from where. */
  readonly accounts: Buffer;
}

/**
 * The keys, out of a secret that is made once and kept 0600 in the data folder. With `jwtSecretKey` (upstream's
 * `jwt_secret_key`) tokens are signed with that text, as a Python server with the same setting does.
 * Throws V6_CONFIG_INVALID when the file is damaged, V6_CONFIG_WRITE when it cannot be made.
 */
export function loadServerKeys(dataDir: string, jwtSecretKey: string | undefined): ServerKeys {
  const secret = readOrCreate(path.join(dataDir, FILE));
  const derive = (purpose: string): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, '', `v6 ${purpose}`, 32));
  return {
    jwt: jwtSecretKey === undefined ? derive('jwt') : new TextEncoder().encode(jwtSecretKey),
    apiKey: derive('api-key'),
    vpnTokens: derive('vpn-tokens'),
    secondFactors: derive('second-factors'),
    accounts: derive('accounts'),
  };
}

/**
 * Throws V6_CONFIG_INVALID when the database was written with another secret: every node's key would be refused and no
 * reason be given.
 */
export async function checkSecretBelongs(meta: MetaStore, keys: ServerKeys): Promise<void> {
  const mark = createHmac('sha256', keys.apiKey).update('v6 secret check').digest('hex');
  const stored = await meta.find('secret-check');
  if (stored === undefined) {
    await meta.set('secret-check', mark);
    return;
  }
  const isSame =
    stored.length === mark.length && timingSafeEqual(Buffer.from(stored), Buffer.from(mark));
  if (isSame) return;
  throw new V6Error(
    'V6_CONFIG_INVALID',
    `${FILE} in the data folder is not that of this database`,
    {
      hints: [
        `Restore ${FILE} from the backup that the database came from.`,
        `For a further server on the same database, copy ${FILE} from the data folder of the first one.`,
      ],
    },
  );
}

/** What replicas compare to see that they sign tokens with the same key. */
export const keyMarkOf = ({ jwt }: Pick<ServerKeys, 'jwt'>): string =>
  createHmac('sha256', jwt).update('v6 replica').digest('hex');

function readOrCreate(file: string): Buffer {
  const found = readIfThere(file);
  if (found !== undefined) return found;
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    const secret = randomBytes(BYTES);
    const handle = openSync(file, 'wx', 0o600);
    writeSync(handle, secret.toString('hex'));
    fsyncSync(handle);
    closeSync(handle);
    return secret;
  } catch (error) {
    throw new V6Error('V6_CONFIG_WRITE', `The secret ${file} could not be written`, {
      cause: error,
      hints: ['Check that the data folder is writable.'],
    });
  }
}

function readIfThere(file: string): Buffer | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new V6Error('V6_CONFIG_INVALID', `The secret ${file} cannot be read`, { cause: error });
  }
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new V6Error('V6_CONFIG_INVALID', `The secret ${file} is damaged`, {
      hints: ['It holds 64 hexadecimal digits. Restore it from a backup.'],
    });
  }
  return Buffer.from(text, 'hex');
}
