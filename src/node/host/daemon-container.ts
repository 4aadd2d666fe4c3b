import type { Context } from '../../core/context.ts';
import type { ContainerSpec, ContainerState, Engine, Mount } from '../../core/engine/engine.ts';
import { findOwnContainer } from '../../core/engine/own-container.ts';
import { labelsFor, names, type Scope } from '../../core/labels.ts';

/** Who starts the node on the host: the daemon works for them, with their folders. */
export interface HostUser {
  readonly uid: number;
  /** Of HOME, XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME and XDG_RUNTIME_DIR, those that are set. */
  readonly folders: Readonly<Record<string, string>>;
}

export interface DaemonImages {
  readonly runtime: string;
  readonly vpn: string;
}

export interface DaemonContainerInput {
  readonly context: Context;
  readonly images: DaemonImages;
  /** Path of the engine's socket on the host. */
  readonly engineSocket: string;
  readonly user: HostUser;
  /** Beside ours. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Private key of the organization; bound when it lies outside of the node's folders. */
  readonly privateKeyFile?: string | undefined;
  /** `server_ca` of the configuration; bound likewise. */
  readonly serverCaFile?: string | undefined;
  /** Name → address, for a server or portal that only a hosts entry knows. */
  readonly hosts?: Readonly<Record<string, string>>;
}

/** A result of 256 MB goes through its memory four times, once in each form on its way. */
const MEMORY_BYTES = 4 * 2 ** 30;

/** A node ends its runs and its VPN client before it ends itself. Seconds. */
export const STOP_TIMEOUT_SECONDS = 60;

/**
 * The daemon's container (design section 3): network and process ids of the host, because it holds the engine's socket and so
 * is root anyway, must reach a server on localhost, and looks into `/proc` for ports that listen. Its folders lie at the same
 * absolute paths as on the host, because it hands paths in them to the engine.
 */
export function planDaemonContainer(input: DaemonContainerInput): ContainerSpec {
  const { context, images, engineSocket, user } = input;
  const { name, scope } = context;
  return {
    name: names.node(name, scope),
    image: images.runtime,
    labels: { ...labelsFor({ kind: 'node', scope, node: name }), ...input.labels },
    command: [
      'node',
      'run',
      '--config',
      context.configFile,
      '--name',
      name,
      ...scopeFlag(scope),
      '--vpn-image',
      images.vpn,
    ],
    env: {
      ...user.folders,
      V6_HOST_UID: String(user.uid),
      // tini is not process 1 among the host's processes: it must say so to get the orphans.
      TINI_SUBREAPER: '1',
      // url.parse() in the engine's client library; nothing that a reader of the log could mend.
      NODE_OPTIONS: '--disable-warning=DEP0169',
    },
    networkMode: 'host',
    pidMode: 'host',
    ...(input.hosts === undefined ? {} : { hosts: input.hosts }),
    mounts: [
      { source: engineSocket, target: '/var/run/docker.sock' },
      { source: context.configFile, target: context.configFile, readOnly: true },
      ...fileMount(context, input.privateKeyFile),
      ...fileMount(context, input.serverCaFile),
      ...foldersOf(context).map(
        (folder): Mount => ({
          source: folder,
          target: folder,
          ...(folder === context.runDir ? { isMadeWhenMissing: true } : {}),
        }),
      ),
    ],
    tmpfs: ['/tmp'],
    readOnlyRoot: true,
    memoryBytes: MEMORY_BYTES,
    pids: 512,
    // Its files belong to the user on the host.
    capabilities: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID'],
    restart: 'unless-stopped',
    stopTimeoutSeconds: STOP_TIMEOUT_SECONDS,
  };
}

function fileMount(context: Context, file: string | undefined): Mount[] {
  if (file === undefined) return [];
  const isWithin = foldersOf(context).some((folder) => file.startsWith(`${folder}/`));
  return isWithin ? [] : [{ source: file, target: file, readOnly: true }];
}

/** How a command is told the scope. */
export function scopeFlag(scope: Scope): readonly string[] {
  return scope === 'user' || scope === 'system' || scope === 'demo'
    ? [`--${scope}`]
    : ['--scope', scope];
}

/** Data, log and run folder, each once. */
export function foldersOf({ dataDir, logDir, runDir }: Context): readonly string[] {
  return [...new Set([dataDir, logDir, runDir])];
}

/** The daemon's container of a node, whatever its state. Throws V6_ENGINE_CONFLICT when a stranger has its name. */
export function findDaemon(
  engine: Pick<Engine, 'containers'>,
  { name, scope }: Pick<Context, 'name' | 'scope'>,
): Promise<ContainerState | undefined> {
  return findOwnContainer(engine, { container: names.node(name, scope), kind: 'node' });
}
