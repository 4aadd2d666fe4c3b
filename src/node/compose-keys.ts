import { systemClock } from '../core/clock.ts';
import { serverBaseUrl } from '../core/config/node-config.ts';
import { parseNodeConfig } from '../core/config/node-config-parser.ts';
import type { Context } from '../core/context.ts';
import type { PinStore } from '../core/crypto/pins.ts';
import { pinFolder, privateKeyPath } from './encryption/private-key-path.ts';
import type { KeyFiles } from './host/make-private-key.ts';

/** The keys of a node, on its host; no daemon and no engine is asked. */
export interface NodeKeyFiles {
  readonly pins: PinStore;
  /** Organization → fingerprint, as the configuration says. */
  readonly pinned: ReadonlyMap<number, string>;
  /** The own key; null for a node that does not encrypt. Throws V6_ENCRYPTION_KEY_FILE. */
  own(): Promise<{ readonly file: string; readonly fingerprint: string } | null>;
}

/** Throws V6_CONFIG_*. */
export async function composeNodeKeys(context: Context): Promise<NodeKeyFiles> {
  const [{ hostFiles }, { createPinFiles }, { readPrivateKeyFile }] = await Promise.all([
    import('../adapters/host-files/host-files.ts'),
    import('../adapters/organization-keys/pin-files.ts'),
    import('../adapters/organization-keys/private-key-file.ts'),
  ]);
  const text = await hostFiles.readConfig(context.configFile);
  const config = parseNodeConfig(text, context.configFile);
  return {
    pins: createPinFiles(pinFolder(context), serverBaseUrl(config)),
    pinned: config.encryption.pinnedKeys,
    own: async () => {
      const file = privateKeyPath(config, context);
      if (file === undefined) return null;
      const { publicKey } = await readPrivateKeyFile(file);
      return { file, fingerprint: publicKey.fingerprint };
    },
  };
}

/** Files of private keys on this machine. */
export async function composeKeyFiles(): Promise<KeyFiles> {
  const [{ hostFiles }, { readPrivateKeyFile, writePrivateKeyFile }] = await Promise.all([
    import('../adapters/host-files/host-files.ts'),
    import('../adapters/organization-keys/private-key-file.ts'),
  ]);
  return {
    find: async (file) => ((await hostFiles.isThere(file)) ? readPrivateKeyFile(file) : undefined),
    write: (file, pem, { overwrite }) =>
      writePrivateKeyFile(file, pem, { overwrite, now: systemClock.now() }),
  };
}
