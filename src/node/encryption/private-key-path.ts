import path from 'node:path';
import type { NodeConfig } from '../../core/config/node-config.ts';
import type { Context } from '../../core/context.ts';

/** Upstream's name where the configuration gives none (vantage6 4.15 node, `setup_encryption`). */
const DEFAULT_FILE = 'private_key.pem';

/** Where a node finds the private key of its organization; undefined when it needs none. */
export function privateKeyPath(
  { encrypted, encryption }: Pick<NodeConfig, 'encrypted' | 'encryption'>,
  { dataDir }: Pick<Context, 'dataDir'>,
): string | undefined {
  return encrypted ? path.resolve(dataDir, encryption.privateKey ?? DEFAULT_FILE) : undefined;
}

/** The folder of the pinned keys of a node. */
export function pinFolder({ dataDir }: Pick<Context, 'dataDir'>): string {
  return path.join(dataDir, 'organization-keys');
}
