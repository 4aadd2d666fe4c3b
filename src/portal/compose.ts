import { randomBytes } from 'node:crypto';
import { whenAborted } from '../core/abort.ts';
import { systemClock } from '../core/clock.ts';
import type { Context } from '../core/context.ts';
import { V6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { RevokedNode } from './interfaces/portal-admin.ts';
import type { PortalDeps } from './portal-deps.ts';
import type { RunningPortal } from './portal-process.ts';
import type { PortalStatus } from './portal-status.ts';
import { adminSocketOf, type EmbeddedPortalSettings, parseSettings } from './settings.ts';
import type { StartPortalOptions } from './start-options.ts';
import type { StartedPortal } from './start-portal.ts';
import type { StoppedPortal } from './stop-portal.ts';

/** What commands and the demo do with the embedded portal. */
export interface PortalUseCases {
  start(options: StartPortalOptions): Promise<StartedPortal>;
  stop(options: {
    readonly context: Context;
    readonly removeData: boolean;
  }): Promise<StoppedPortal>;
  status(context: Context): Promise<PortalStatus>;
  /** Throws V6_PORTAL_NOT_RUNNING, V6_REQUEST_NOT_FOUND. */
  revoke(
    context: Context,
    input: { readonly node: string; readonly release: boolean },
  ): Promise<RevokedNode>;
  /** The portal process in the foreground, until the signal aborts. */
  run(options: { readonly settingsFile: string; readonly signal: AbortSignal }): Promise<void>;
}

export interface PortalEnvironment {
  /** Folder of the package (oclif's `config.root`): it decides which images are ours. */
  readonly root: string;
}

/** The use cases on this machine. Touches neither engine nor files before one of them is called. */
export function composePortal({ root }: PortalEnvironment): Promise<PortalUseCases> {
  return Promise.resolve({
    start: async (options) => {
      const [deps, { startPortal }] = await Promise.all([
        composeDeps(root),
        import('./start-portal.ts'),
      ]);
      return startPortal(deps, options);
    },
    stop: async (options) => {
      const [deps, { stopPortal }] = await Promise.all([
        composeDeps(root),
        import('./stop-portal.ts'),
      ]);
      return stopPortal(deps, options);
    },
    status: async (context) => {
      const [deps, { portalStatus }] = await Promise.all([
        composeDeps(root),
        import('./portal-status.ts'),
      ]);
      return portalStatus(deps, context);
    },
    revoke: async (context, input) => {
      const { portalAdmin } = await import('../adapters/portal-admin/client.ts');
      return portalAdmin.revoke(adminSocketOf(context), input);
    },
    run: runPortal,
  } satisfies PortalUseCases);
}

async function composeDeps(root: string): Promise<PortalDeps> {
  const [
    { connectEngine },
    { portalFiles },
    { portalAdmin },
    { openPortalHost },
    { createHostView },
    { imageReferences },
  ] = await Promise.all([
    import('../adapters/docker/engine.ts'),
    import('../adapters/portal-files/portal-files.ts'),
    import('../adapters/portal-admin/client.ts'),
    import('../adapters/portal-host/portal-host.ts'),
    import('../adapters/host/host-view.ts'),
    import('../images/references.ts'),
  ]);
  return {
    engine: await connectEngine({ env: process.env }),
    files: portalFiles,
    host: { ...createHostView(), ...openPortalHost() },
    admin: portalAdmin,
    clock: systemClock,
    images: imageReferences(root),
  };
}

/** The portal process on real files, database and socket, in this process. The caller closes it. */
export async function openPortalProcess(
  settings: EmbeddedPortalSettings,
  logger: Logger,
): Promise<RunningPortal> {
  const [
    { startPortalProcess },
    { createCertificateMaker },
    { portalFiles },
    { openPortalDatabase },
    { OpenVpnServerControl },
  ] = await Promise.all([
    import('./portal-process.ts'),
    import('./pki.ts'),
    import('../adapters/portal-files/portal-files.ts'),
    import('../adapters/portal-database/open.ts'),
    import('../adapters/openvpn-server/management.ts'),
  ]);
  return startPortalProcess({
    settings,
    logger,
    files: portalFiles,
    certificates: createCertificateMaker(),
    clock: systemClock,
    randomBytes,
    openStore: openPortalDatabase,
    openControl: (socket) => new OpenVpnServerControl(socket),
  });
}

async function runPortal(options: {
  readonly settingsFile: string;
  readonly signal: AbortSignal;
}): Promise<void> {
  const [{ portalFiles }, { createJsonLogger }] = await Promise.all([
    import('../adapters/portal-files/portal-files.ts'),
    import('../adapters/host/json-logger.ts'),
  ]);
  const text = await portalFiles.read(options.settingsFile);
  if (text === undefined) {
    throw new V6Error('V6_CONFIG_NOT_FOUND', `There is no portal at ${options.settingsFile}`, {
      hints: ['Make one: v6 portal start'],
    });
  }
  const portal = await openPortalProcess(
    parseSettings(text, options.settingsFile),
    createJsonLogger({ level: 'info', base: {} }),
  );
  await new Promise<void>((resolve) => {
    whenAborted(options.signal, resolve);
  });
  await portal.close();
}
