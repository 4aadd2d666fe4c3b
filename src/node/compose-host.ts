import { userInfo } from 'node:os';
import { systemClock } from '../core/clock.ts';
import type { NodeConfig } from '../core/config/node-config.ts';
import type { Context } from '../core/context.ts';
import type { Engine } from '../core/engine/engine.ts';
import { V6Error } from '../core/errors.ts';
import { findVpnImage } from '../images/list.ts';
import { imageReferences } from '../images/references.ts';
import { privateKeyPath } from './encryption/private-key-path.ts';
import type { DaemonImages, HostUser } from './host/daemon-container.ts';
import type { LeftoverNode } from './host/leftovers.ts';
import type { StartDeps } from './host/start-node.ts';
import { type ListedNode, listNodes } from './host/stop-node.ts';
import { HostContainer } from './host-rules/host-container.ts';
import { createHostFirewall } from './host-rules/host-firewall.ts';
import type { DaemonClient } from './interfaces/daemon-client.ts';
import type { HostFiles } from './interfaces/host-files.ts';
import type { HostFirewall } from './interfaces/host-firewall.ts';

/** What the commands of a node on its host need. */
export interface NodeHost extends StartDeps {
  readonly engine: Engine;
  /** Path of the engine's socket on this machine. */
  readonly engineSocket: string;
  readonly user: HostUser;
}

const FOLDER_VARIABLES = [
  'HOME',
  'XDG_CONFIG_HOME',
  'XDG_DATA_HOME',
  'XDG_CACHE_HOME',
  'XDG_RUNTIME_DIR',
] as const;

/**
 * Connects to the engine of this machine. `root` is the folder of the package: it tells which images are ours. Throws V6_ENGINE_MISSING, V6_ENGINE_PERMISSION, V6_USAGE
 * for an engine elsewhere.
 */
export async function composeNodeHost(root: string): Promise<NodeHost> {
  const [{ connectEngine }, { findContextSocket }] = await Promise.all([
    import('../adapters/docker/engine.ts'),
    import('../adapters/docker/endpoint.ts'),
  ]);
  const engineSocket = socketOf(process.env.DOCKER_HOST) ?? (await findContextSocket(process.env));
  const engine = await connectEngine({ env: process.env });
  return {
    engine,
    engineSocket: engineSocket ?? '/var/run/docker.sock',
    files: await composeHostFiles(),
    daemonIn: await composeDaemonIn(),
    clock: systemClock,
    user: hostUser(process.env),
    undoHostRules: (node) => undoHostRules(engine, node, root),
  };
}

async function undoHostRules(engine: Engine, node: LeftoverNode, root: string): Promise<void> {
  const firewall = await composeHostFirewall(engine, node, root);
  try {
    await firewall.undo(`${node.scope}/${node.name}`);
  } finally {
    await firewall.close();
  }
}

/**
 * The host's firewall for a command: in a container of its own, which goes with `close`; what a daemon keeps for itself is left
 * alone. With a data folder, what the node wrote down is read and kept. Throws V6_IMAGE_NOT_FOUND, V6_ENGINE_*.
 */
export async function composeHostFirewall(
  engine: Engine,
  { name, scope, dataDir }: LeftoverNode,
  root: string,
): Promise<HostFirewall> {
  const image = await findVpnImage(engine, root);
  const { createHostRulesRecords } = await import('../adapters/host/host-rules-records.ts');
  return createHostFirewall({
    engine,
    container: new HostContainer({ engine, image, scope, worksFor: name }),
    records: dataDir === undefined ? undefined : createHostRulesRecords(dataDir),
    clock: systemClock,
  });
}

/** Reading a configuration needs no engine: a mistake in it is reported before anything else. */
export async function composeHostFiles(): Promise<HostFiles> {
  const { hostFiles } = await import('../adapters/host-files/host-files.ts');
  return hostFiles;
}

/**
 * The private key file of a node in an encrypted collaboration, looked at before a daemon is started with it; undefined when the
 * node needs none. Throws V6_ENCRYPTION_KEY_FILE.
 */
export async function checkPrivateKey(
  config: Pick<NodeConfig, 'encrypted' | 'encryption'>,
  context: Pick<Context, 'dataDir'>,
): Promise<string | undefined> {
  const file = privateKeyPath(config, context);
  if (file === undefined) return undefined;
  const { readPrivateKeyFile } = await import('../adapters/organization-keys/private-key-file.ts');
  await readPrivateKeyFile(file);
  return file;
}

/** Makes clients of running daemons. Needs no engine. */
export async function composeDaemonIn(): Promise<(runDir: string, name: string) => DaemonClient> {
  const { createDaemonClient } = await import('../adapters/http/daemon-client.ts');
  return createDaemonClient;
}

/** The images of this very version. */
export function nodeImages(root: string): DaemonImages {
  const { runtime, vpn } = imageReferences(root);
  return { runtime, vpn };
}

function socketOf(host: string | undefined): string | undefined {
  if (host === undefined || host === '') return undefined;
  if (host.startsWith('unix://')) return host.slice('unix://'.length);
  throw new V6Error('V6_USAGE', `DOCKER_HOST leads to an engine elsewhere: ${host}`, {
    hints: [
      'A node runs on the machine of its engine: run the command there, or unset DOCKER_HOST.',
    ],
  });
}

function hostUser(env: NodeJS.ProcessEnv): HostUser {
  const folders = FOLDER_VARIABLES.flatMap((name) => {
    const value = env[name] ?? (name === 'HOME' ? userInfo().homedir : undefined);
    return value === undefined || value === '' ? [] : [[name, value] as const];
  });
  return { uid: userInfo().uid, folders: Object.fromEntries(folders) };
}

/** Nodes with a container on this machine. */
export async function runningNodes(): Promise<readonly ListedNode[]> {
  const { connectEngine } = await import('../adapters/docker/engine.ts');
  return listNodes(await connectEngine({ env: process.env }));
}
