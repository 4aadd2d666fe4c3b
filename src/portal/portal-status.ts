import type { Context } from '../core/context.ts';
import { isV6Error } from '../core/errors.ts';
import { names } from '../core/labels.ts';
import type { PortalReport } from './interfaces/portal-admin.ts';
import type { PortalDeps } from './portal-deps.ts';
import { adminSocketOf } from './settings.ts';
import { findSettings, type VpnServerBlock, vpnServerBlock } from './start-portal.ts';

export interface PortalStatus {
  /** `stopped`: no container; `degraded`: something of it does not run or does not answer. */
  readonly state: 'running' | 'degraded' | 'stopped';
  readonly containers: readonly {
    readonly name: string;
    readonly kind: 'portal' | 'vpn-server';
    readonly state: string;
    /** ISO 8601 UTC; null when it is not running. */
    readonly startedAt: string | null;
  }[];
  /** Null when the portal does not answer. */
  readonly report: PortalReport | null;
  readonly vpn_server: VpnServerBlock | null;
  readonly dataDir: string;
}

/** What runs and who is connected. Throws V6_ENGINE_*, V6_CONFIG_*. */
export async function portalStatus(
  deps: Pick<PortalDeps, 'engine' | 'files' | 'admin'>,
  context: Context,
): Promise<PortalStatus> {
  const settings = await findSettings(deps.files, context);
  const containers = [];
  for (const [kind, name] of [
    ['portal', names.portal(context.scope)],
    ['vpn-server', names.vpnServer(context.scope)],
  ] as const) {
    const found = await deps.engine.containers.find(name);
    const isRunning = found?.state === 'running';
    containers.push({
      name,
      kind,
      state: found?.state ?? 'absent',
      startedAt: isRunning ? (found.startedAt?.toISOString() ?? null) : null,
    });
  }
  const report = await deps.admin.report(adminSocketOf(context)).catch((error: unknown) => {
    if (isV6Error(error, 'V6_PORTAL_NOT_RUNNING')) return null;
    throw error;
  });
  const isWhole =
    containers.every(({ state }) => state === 'running') && report?.vpnServer === 'ready';
  const isGone = containers.every(({ state }) => state === 'absent') && report === null;
  return {
    state: isWhole ? 'running' : isGone ? 'stopped' : 'degraded',
    containers,
    report,
    vpn_server: settings === undefined ? null : vpnServerBlock(settings),
    dataDir: context.dataDir,
  };
}
