import path from 'node:path';
import type { ServerConfig } from '../../core/config/server-config.ts';
import type { Context } from '../../core/context.ts';
import type { ContainerSpec, ContainerState, Engine, Mount } from '../../core/engine/engine.ts';
import { findOwnContainer } from '../../core/engine/own-container.ts';
import { LABEL, labelsFor, names, type Scope } from '../../core/labels.ts';
import { databasePlace } from './database-place.ts';
import { localServerUrl, publishedAddress, type ServerAddress } from './server-address.ts';

/** Inside, on a network of its own; upstream's is the same (vantage6 4.14 cli/server/start.py). */
const INNER_PORT = 5000;
/** A server ends its sockets and the requests under way before it ends itself. Seconds. */
export const STOP_TIMEOUT_SECONDS = 20;

/** Results travel through its memory, several at once: a bound for what goes wrong, not a measure of what it takes. */
export const SERVER_LIMITS = { memoryBytes: 4 * 2 ** 30, pids: 512 } as const;

/** Who starts the server on the host: its files are theirs, inside as outside. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
  /** Of HOME and the XDG variables, those that are set. */
  readonly folders: Readonly<Record<string, string>>;
}

export interface ServerContainerInput {
  readonly context: Context;
  readonly config: ServerConfig;
  /** Where it is published, or listens in the host's network. */
  readonly address: ServerAddress;
  readonly image: string;
  readonly user: ServerUser;
  /** `bridge`, `host`, or a network of the engine. */
  readonly network: string;
  /** VANTAGE6_DB_URI, when it is set and holds no password. */
  readonly databaseUri?: string | undefined;
}

/**
 * The server's container: nothing of the host but its configuration (read-only), its folders and one port; no capability, a
 * read-only root, the user who started it.
 */
export function planServerContainer(input: ServerContainerInput): ContainerSpec {
  const { context, config, address, image, user, network, databaseUri } = input;
  const { name, scope } = context;
  const isInHostNetwork = network === 'host';
  const listen = isInHostNetwork ? address : { ip: '0.0.0.0', port: INNER_PORT };
  return {
    name: names.server(name, scope),
    image,
    labels: {
      ...labelsFor({ kind: 'server', scope, node: name }),
      [LABEL.url]: localServerUrl(address, config),
      [LABEL.config]: context.configFile,
    },
    command: [...runArguments(context), '--ip', listen.ip, '--port', String(listen.port)],
    env: {
      ...user.folders,
      // The user has no entry in the image's password file; oclif looks there for the shell otherwise.
      SHELL: '/bin/sh',
      ...(databaseUri === undefined ? {} : { VANTAGE6_DB_URI: databaseUri }),
    },
    // Root inside has no capability: what it owns on the host is all that it can write.
    ...(user.uid === 0 ? {} : { user: `${user.uid}:${user.gid}` }),
    ...(isInHostNetwork
      ? { networkMode: 'host' as const }
      : { networks: [{ name: network }], publish: [publishedPort(address)] }),
    mounts: mountsOf(context, config, databaseUri),
    capabilities: [],
    readOnlyRoot: true,
    tmpfs: ['/tmp'],
    ...SERVER_LIMITS,
    restart: 'unless-stopped',
    stopTimeoutSeconds: STOP_TIMEOUT_SECONDS,
  };
}

/** `server run` on the same configuration, whoever starts it. */
export function runArguments({ name, scope, configFile }: Context): readonly string[] {
  return ['server', 'run', '--config', configFile, '--name', name, ...scopeFlag(scope)];
}

function scopeFlag(scope: Scope): readonly string[] {
  return scope === 'user' || scope === 'system' ? [`--${scope}`] : ['--scope', scope];
}

function publishedPort({ ip, port }: ServerAddress) {
  return {
    container: INNER_PORT,
    host: port,
    hostAddress: publishedAddress(ip),
    protocol: 'tcp' as const,
  };
}

/** Every path is the same inside as outside, so that the configuration means the same. */
function mountsOf(
  context: Context,
  config: ServerConfig,
  databaseUri: string | undefined,
): readonly Mount[] {
  const { configFile, dataDir } = context;
  const place = databasePlace(databaseUri ?? config.uri, dataDir);
  const databaseDir =
    place.kind === 'sqlite' && place.location !== ':memory:'
      ? path.dirname(place.location)
      : dataDir;
  const { tls } = config.transport;
  const isInside = databaseDir === dataDir || databaseDir.startsWith(`${dataDir}/`);
  return [
    { source: configFile, target: configFile, readOnly: true },
    { source: dataDir, target: dataDir },
    ...(isInside ? [] : [{ source: databaseDir, target: databaseDir }]),
    // Both may stand in one file.
    ...[...new Set(tls === undefined ? [] : [tls.certificate, tls.key])].map((file) => ({
      source: file,
      target: file,
      readOnly: true,
    })),
  ];
}

/** The container of a server, whatever its state. Throws V6_ENGINE_CONFLICT when a stranger has its name. */
export function findServerContainer(
  engine: Pick<Engine, 'containers'>,
  { name, scope }: Pick<Context, 'name' | 'scope'>,
): Promise<ContainerState | undefined> {
  return findOwnContainer(engine, { container: names.server(name, scope), kind: 'server' });
}
