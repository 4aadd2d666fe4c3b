import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import type { Server } from 'node:http';
import { openEventBus, openStore } from '../adapters/database/open.ts';
import { createPortalConnector } from '../adapters/eduvpn/portal-connector.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import type { ServerConfig } from '../core/config/server-config.ts';
import { V6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { buildApp } from './app.ts';
import { ensureFirstUser, warnOfFirstPassword, warnOfPasswordHash } from './auth/first-user.ts';
import { FIXED_ROLES } from './auth/roles.ts';
import { checkSecretBelongs, keyMarkOf, loadServerKeys, type ServerKeys } from './auth/secret.ts';
import { composeAccounts } from './compose-accounts.ts';
import { composeMetrics, metricSources } from './compose-metrics.ts';
import { type TlsServer, watchCertificate } from './http/certificate.ts';
import type { PortalConnector } from './interfaces/portal-connector.ts';
import type { Store } from './interfaces/store.ts';
import { createServerLogger } from './logging.ts';
import { cleanUpHourly } from './services/cleanup.ts';
import { createEventHub } from './services/events.ts';
import { createOutsideWatch } from './services/outside-changes.ts';
import { createPresence } from './services/presence.ts';
import { createReplica } from './services/replica.ts';
import { createVpnService, type VpnService } from './services/vpn.ts';
import { attachSockets } from './socket/server.ts';

export interface StartServerInput {
  readonly config: ServerConfig;
  /** Database, secret and the first password; made when missing, 0700. */
  readonly dataDir: string;
  /** Default: JSON lines on stderr. */
  readonly logger?: Logger;
  readonly clock?: Clock;
  /** Default: the portal of the configuration's `vpn_server` block. */
  readonly portal?: PortalConnector;
  /** How long a node may be without a socket before it is offline; default 5000 ms. */
  readonly offlineGraceMs?: number;
}

export interface RunningServer {
  /** `http://address:port` or `https://…`, with api path; loopback when it listens everywhere. */
  readonly url: string;
  readonly port: number;
  /** Path of the file with the first user's password; undefined when there were users already. */
  readonly passwordFile: string | undefined;
  /** Reads certificate and key again; bad ones are logged, and the old ones stay. Without TLS nothing. */
  reload(): void;
  /** Ends connections and closes the database. Repeating it is fine. */
  stop(): Promise<void>;
}

/** Starts the server in this process. With port 0 the system chooses. Throws V6_NET_PORT_IN_USE, V6_DATABASE, V6_CONFIG_*. */
export async function startServer(input: StartServerInput): Promise<RunningServer> {
  const { config, dataDir } = input;
  const logger = input.logger ?? createServerLogger(config.logLevel);
  makeDataDir(dataDir);
  const keys = loadServerKeys(dataDir, config.jwtSecretKey);
  const store = await openStore({ uri: config.uri, dataDir, roles: FIXED_ROLES, logger });
  try {
    // Of several replicas that start on an empty database, one makes the first user.
    const passwordFile = await store.exclusively('start', async () => {
      await checkSecretBelongs(store.meta, keys);
      return ensureFirstUser(store, dataDir);
    });
    if (passwordFile !== undefined) {
      logger.info('First start: the password of user root is in a file', { file: passwordFile });
      warnOfPasswordHash(process.env, logger);
    } else await warnOfFirstPassword(store, dataDir, logger);
    return await listen({ ...input, logger, store, keys, passwordFile });
  } catch (error) {
    await store.close();
    throw error;
  }
}

interface ListenInput extends StartServerInput {
  readonly logger: Logger;
  readonly store: Store;
  readonly keys: ServerKeys;
  readonly passwordFile: string | undefined;
}

async function listen(input: ListenInput): Promise<RunningServer> {
  const { config, store, keys, logger, clock = systemClock } = input;
  const certificates = config.transport.tls && watchCertificate(config.transport.tls, logger);
  const bus = await openEventBus(config.uri, logger);
  const events = createEventHub(logger, bus);
  const accounts = await composeAccounts({ config, store, keys, clock, logger, events });
  const { tokens } = accounts;
  const metrics = await composeMetrics(config, events);
  const graceMs = input.offlineGraceMs ?? 5000;
  const self = { id: randomUUID(), keyMark: keyMarkOf(keys) };
  const presence = createPresence({ store, events, clock, logger, graceMs, replica: self });
  const replica = createReplica({ store, presence, events, clock, logger, self });
  const app = await buildApp({
    store,
    tokens,
    events,
    presence,
    clock,
    logger,
    login: accounts.login,
    sessions: accounts.sessions,
    recovery: accounts.recovery,
    transport: config.transport,
    certificate: certificates?.current,
    vpn: vpnOf(input, clock),
    apiKeyDigestKey: keys.apiKey,
    apiPath: config.apiPath,
    vpnTrustedNetworks: config.vpnTrustedNetworks,
    metrics,
  });
  const { promise: ready, resolve: open } = Promise.withResolvers<void>();
  const sockets = attachSockets(app.server, {
    store,
    tokens,
    presence,
    events,
    logger,
    clock,
    ready,
    transport: config.transport,
    metrics,
  });
  const workers = new AbortController();
  certificates?.follow((changed) => (app.server as Server & TlsServer).setSecureContext(changed));
  const outside = createOutsideWatch({ meta: store.meta, events, logger });
  const close = async (): Promise<void> => {
    workers.abort();
    await outside.close();
    certificates?.close();
    await sockets.close();
    // After the sockets, whose ends would start new waits.
    presence.close();
    replica.leave();
    await app.close();
    await accounts.mails.close();
    await bus?.close();
    await metrics?.close();
  };
  try {
    await replica.check();
    await app.listen({ host: config.ip, port: config.port });
    await bus?.open();
    // The port is ours, so no other process serves a database in a file: nobody is connected to it yet.
    await replica.join();
    await outside.start();
    await metrics?.open(metricSources(store, sockets));
  } catch (error) {
    await close();
    throw toListenError(error, config);
  }
  open();
  const { cleanup } = config.operation;
  if (cleanup) void cleanUpHourly({ store, clock, logger, settings: cleanup }, workers.signal);
  const reload = (): void => certificates?.reload();
  return running(input, portOf(app.server) ?? config.port, { close, reload });
}

function vpnOf(
  { config, portal, store, logger, keys }: ListenInput,
  clock: Clock,
): VpnService | undefined {
  const connector =
    portal ?? (config.vpn === undefined ? undefined : createPortalConnector(config.vpn));
  return (
    connector &&
    createVpnService({
      store,
      portal: connector,
      clock,
      logger,
      key: keys.vpnTokens,
      leaseGraceMs: config.vpnLeaseGraceMs,
    })
  );
}

function running(
  { config, store, logger, passwordFile }: ListenInput,
  port: number,
  { close, reload }: { readonly close: () => Promise<void>; readonly reload: () => void },
): RunningServer {
  const host = ['0.0.0.0', '::', ''].includes(config.ip) ? '127.0.0.1' : config.ip;
  const scheme = config.transport.tls === undefined ? 'http' : 'https';
  const url = `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}${config.apiPath}`;
  logger.info('Server is ready', { url, vpn: config.vpn !== undefined });
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await close();
    await store.close();
    logger.info('Server has stopped', { url });
  };
  return {
    url,
    port,
    passwordFile,
    reload,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

function portOf(server: Server): number | undefined {
  const address = server.address();
  return typeof address === 'object' ? address?.port : undefined;
}

function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new V6Error('V6_CONFIG_WRITE', `The data folder ${dataDir} could not be made`, {
      cause: error,
      hints: ['Run as a user who may write there, or use --user for your own folders.'],
    });
  }
}

function toListenError(error: unknown, { ip, port }: ServerConfig): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') {
    return new V6Error('V6_NET_PORT_IN_USE', `Port ${port} on ${ip} is taken`, {
      cause: error,
      hints: [
        `See who has it: ss -ltnp 'sport = :${port}'`,
        'Choose another: v6 server run --port N, or port: in the configuration file.',
      ],
      details: { ip, port },
    });
  }
  if (code === 'EACCES') {
    return new V6Error('V6_NET_PRIVILEGE', `Port ${port} needs root`, {
      cause: error,
      hints: ['Choose a port above 1023.'],
    });
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new V6Error('V6_CONFIG_INVALID', `${ip} is no address of this machine`, {
      cause: error,
      hints: ['Set ip to 0.0.0.0 or to an address that `ip addr` shows.'],
    });
  }
  return error;
}
