import { parseFingerprint } from '../crypto/keys.ts';
import type { KeyReader } from './key-reader.ts';
import type { NodeConfig } from './node-config.ts';
import { mappingOf } from './yaml.ts';

/** The `encryption` section of a node's configuration; what is wrong with it goes to the reader. */
export function readEncryption(encryption: KeyReader): NodeConfig['encryption'] {
  return {
    privateKey: encryption.text('private_key'),
    pinnedKeys: pinnedKeys(encryption),
    trustOnFirstUse: encryption.flag('trust_on_first_use') ?? true,
  };
}

/** Organization id → fingerprint. By id and not by name: a server could give a name to another organization. */
function pinnedKeys(encryption: KeyReader): ReadonlyMap<number, string> {
  const value = encryption.raw('pinned_keys');
  const pins = new Map<number, string>();
  if (value === undefined) return pins;
  const mapping = mappingOf(value);
  if (mapping === undefined)
    encryption.problem('pinned_keys', 'must be a mapping of organization ids to fingerprints');
  for (const [id, text] of Object.entries(mapping ?? {})) {
    const fingerprint = typeof text === 'string' ? parseFingerprint(text) : undefined;
    if (!/^[1-9]\d{0,15}$/.test(id)) {
      encryption.problem('pinned_keys', `has the key ${JSON.stringify(id)}, which is no id`);
    } else if (fingerprint === undefined) {
      encryption.problem(
        `pinned_keys.${id}`,
        'must be the SHA-256 of a public key: 64 hex digits, as `v6 node keys list` shows it',
      );
    } else pins.set(Number(id), fingerprint);
  }
  return pins;
}
