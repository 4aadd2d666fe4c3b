import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Clock } from '../core/clock.ts';
import { isV6Error, V6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { addressAt, ipv4ToNumber } from '../core/net/ipv4.ts';
import { Authorizations } from './authorizations.ts';
import { BrowserSessions } from './browser-sessions.ts';
import { Configurations } from './configurations.ts';
import { buildAdminApp } from './http/admin-app.ts';
import { buildPortalApp } from './http/app.ts';
import type { PortalReport, PortalTunnel } from './interfaces/portal-admin.ts';
import type { Lease, PortalStore } from './interfaces/store.ts';
import type { VpnServerControl, VpnSession } from './interfaces/vpn-server.ts';
import { LoginLimiter } from './login-limiter.ts';
import { hashPassword, verifyPassword } from './passwords.ts';
import { type PrepareDeps, prepareKeys, writeServerConfig } from './prepare.ts';
import { type EmbeddedPortalSettings, portalPaths } from './settings.ts';
import { joinControls } from './several-controls.ts';
import { serverProcesses } from './test-modes.ts';

/** How often the portal looks for sessions that must end, in ms. */
export const SWEEP_MS = 3000;

export interface PortalProcessDeps extends PrepareDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: EmbeddedPortalSettings;
  /** Opens the database file. */
  readonly openStore: (file: string) => PortalStore;
  /** Connects to the VPN server's management socket, now or as soon as it is there. */
  readonly openControl: (socket: string) => VpnServerControl;
}

export interface RunningPortal {
  /** Port that the portal listens on: the one of the settings, or the one it got for 0. */
  readonly port: number;
  readonly adminSocket: string;
  /** Answers what it has begun, then ends. Safe to repeat. */
  close(): Promise<void>;
}

/**
 * The portal: login, tokens, client configs, and the watch over the VPN server's sessions. Throws V6_CONFIG_INVALID,
 * V6_CONFIG_WRITE, V6_DATABASE, V6_NET_PORT_IN_USE.
 */
export async function startPortalProcess(deps: PortalProcessDeps): Promise<RunningPortal> {
  const { settings, files, logger } = deps;
  const paths = portalPaths(settings);
  for (const folder of [settings.dataDir, paths.clientConfigs, settings.runDir, paths.vpnRun]) {
    await files.ensureFolder(folder);
  }
  const password = await readSecret(deps, paths.passwordFile);
  const clientSecret = settings.client.isPublic
    ? undefined
    : await readSecret(deps, paths.clientSecretFile);
  const keys = await prepareKeys(deps, settings, paths);
  const store = deps.openStore(paths.database);
  const undo: (() => unknown)[] = [() => store.close()];
  try {
    await ensureAccount(store, settings.account.user, password);
    const sockets = serverProcesses(settings).map(({ socketName }) => socketName);
    const control = joinControls(
      sockets.map((name) => deps.openControl(path.join(paths.vpnRun, name))),
    );
    undo.push(() => control.close());
    const configurations = new Configurations({ ...deps, store, paths, control, ...keys });
    await configurations.restoreEntries();
    await writeServerConfig(files, settings, paths);
    const app = buildApp(deps, { store, configurations, clientSecret, ...keys });
    undo.push(() => app.close());
    await listen(app, settings.listen);
    const admin = buildAdminApp({
      report: () => reportOf(settings, store, control),
      revoke: (node, options) => configurations.revoke(node, options),
    });
    undo.push(() => admin.close());
    // A socket that a killed process left behind keeps the new one out.
    await files.remove(paths.adminSocket);
    await admin.listen({ path: paths.adminSocket });
    undo.push(watch(deps, configurations));
    logger.info('The portal takes requests', { url: settings.url });
    const address = app.server.address();
    return {
      port: typeof address === 'object' && address ? address.port : settings.listen.port,
      adminSocket: paths.adminSocket,
      close: () => undoAll(undo),
    };
  } catch (error) {
    await undoAll(undo);
    throw error;
  }
}

function buildApp(
  deps: PortalProcessDeps,
  parts: {
    readonly store: PortalStore;
    readonly configurations: Configurations;
    readonly clientSecret: string | undefined;
    readonly authorityEndsAt: Date;
  },
): FastifyInstance {
  const { store, configurations } = parts;
  const authorizations = new Authorizations({
    ...deps,
    ...parts,
    onEnd: (id) => configurations.endAuthorization(id),
  });
  return buildPortalApp({
    ...deps,
    sessions: new BrowserSessions(store, deps.clock),
    limiter: new LoginLimiter(deps.clock),
    verify: (user, password) => verifyPassword(password, store.findPasswordHash(user)),
    authorizations,
    configurations,
  });
}

async function readSecret({ files }: PortalProcessDeps, file: string): Promise<string> {
  const text = (await files.read(file))?.trim();
  if (text) return text;
  throw new V6Error('V6_CONFIG_INVALID', `The portal's secret is missing or empty: ${file}`, {
    hints: ['Write it again: v6 portal start'],
  });
}

async function ensureAccount(store: PortalStore, user: string, password: string): Promise<void> {
  if (await verifyPassword(password, store.findPasswordHash(user))) return;
  store.setAccount(user, await hashPassword(password));
}

async function listen(app: FastifyInstance, at: EmbeddedPortalSettings['listen']): Promise<void> {
  try {
    await app.listen(at);
  } catch (cause) {
    if ((cause as { code?: string }).code !== 'EADDRINUSE') throw cause;
    throw new V6Error('V6_NET_PORT_IN_USE', `Port ${at.port} of ${at.host} is in use`, { cause });
  }
}

/** Sweeps until it is stopped. Only a change between reachable and not is worth a line in the log. */
function watch(deps: PortalProcessDeps, configurations: Configurations): () => Promise<void> {
  const stop = new AbortController();
  const loop = async (): Promise<void> => {
    let wasReachable: boolean | undefined;
    while (!stop.signal.aborted) {
      const failure = await configurations.sweep().then(
        () => undefined,
        (error: unknown) => error,
      );
      const isReachable = failure === undefined;
      if (failure !== undefined && !isV6Error(failure, 'V6_VPN_SERVER_UNREACHABLE')) {
        deps.logger.error('Looking after the sessions failed', { error: failure });
      } else if (isReachable !== wasReachable) {
        if (isReachable) deps.logger.info('The VPN server answers');
        else deps.logger.warn('The VPN server does not answer');
      }
      wasReachable = isReachable;
      await deps.clock.sleep(SWEEP_MS, stop.signal).catch(() => undefined);
    }
  };
  const done = loop();
  return async () => {
    stop.abort();
    await done;
  };
}

async function reportOf(
  settings: EmbeddedPortalSettings,
  store: PortalStore,
  control: VpnServerControl,
): Promise<PortalReport> {
  const leases = store.list();
  const live = await tunnelsOf(control, leases);
  return {
    url: settings.url,
    subnet: settings.subnet,
    ...live,
    leases: leases.map(({ owner, offset, certificate }) => ({
      node: owner,
      address: addressAt(settings.subnet, offset),
      certificateEndsAt: certificate?.expiresAt.toISOString() ?? null,
    })),
  };
}

async function tunnelsOf(
  control: VpnServerControl,
  leases: readonly Lease[],
): Promise<Pick<PortalReport, 'vpnServer' | 'tunnels'>> {
  try {
    const isReady = await control.isReady();
    const sessions = (await control.sessions()).toSorted(byAddress);
    const tunnels = sessions.map(
      (session): PortalTunnel => ({
        node:
          leases.find(({ certificate }) => certificate?.commonName === session.commonName)?.owner ??
          null,
        address: session.tunnelAddress,
        from: session.realAddress,
        since: session.connectedAt.toISOString(),
        bytesReceived: session.bytesReceived,
        bytesSent: session.bytesSent,
      }),
    );
    return { vpnServer: isReady ? 'ready' : 'starting', tunnels };
  } catch (error) {
    if (!isV6Error(error, 'V6_VPN_SERVER_UNREACHABLE')) throw error;
    return { vpnServer: 'not answering', tunnels: null };
  }
}

const byAddress = (a: VpnSession, b: VpnSession): number =>
  (ipv4ToNumber(a.tunnelAddress) ?? 0) - (ipv4ToNumber(b.tunnelAddress) ?? 0);

async function undoAll(steps: (() => unknown)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps.splice(0).toReversed()) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'The portal did not end cleanly');
}
