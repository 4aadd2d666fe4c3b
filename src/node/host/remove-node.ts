import type { Context } from '../../core/context.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import type { HostFiles } from '../interfaces/host-files.ts';
import { findDaemon } from './daemon-container.ts';

export interface RemoveNodeDeps {
  readonly engine: Pick<Engine, 'containers'>;
  readonly files: Pick<HostFiles, 'isThere' | 'removeFile' | 'removeFolder' | 'removeEmptyFolders'>;
}

/** Result of `v6 node remove`; paths. */
export interface RemovedNode {
  readonly name: string;
  readonly scope: string;
  readonly removed: readonly string[];
}

/**
 * Removes configuration, logs and data of a node that does not run: its stored client config, the pinned keys of other
 * organizations, the folders of its runs. A private key elsewhere stays. Throws V6_NODE_ALREADY_RUNNING, V6_CONFIG_NOT_FOUND
 * when there is nothing to remove.
 */
export async function removeNode(deps: RemoveNodeDeps, context: Context): Promise<RemovedNode> {
  const { configFile, dataDir, logDir, name, scope } = context;
  if ((await findDaemon(deps.engine, context)) !== undefined) {
    throw new V6Error('V6_NODE_ALREADY_RUNNING', `The node ${name} is not stopped`, {
      hints: [`Stop it first: v6 node stop --name ${name}`],
    });
  }
  const files = [configFile, `${configFile}.bak`];
  const folders = [...new Set([dataDir, logDir])];
  const there = async (paths: readonly string[]): Promise<readonly string[]> => {
    const found = await Promise.all(paths.map((at) => deps.files.isThere(at)));
    return paths.filter((_, at) => found[at]);
  };
  const removed = [...(await there(files)), ...(await there(folders))];
  if (removed.length === 0) {
    throw new V6Error('V6_CONFIG_NOT_FOUND', `There is no node ${name} (${scope})`, {
      hints: ['Choose with --name, and its scope with --user or --system.'],
      details: { file: configFile },
    });
  }
  for (const file of files) await deps.files.removeFile(file);
  for (const folder of folders) await deps.files.removeFolder(folder);
  return { name, scope, removed };
}
