import { createHash } from 'node:crypto';
import type { ContainerSpec, ContainerState } from '../core/engine/engine.ts';
import { isV6Error, V6Error } from '../core/errors.ts';
import { redactText } from '../core/redact.ts';
import {
  ownNetwork,
  portalContainer,
  SETTINGS_LABEL,
  vpnServerContainer,
} from './container-specs.ts';
import type { PortalReport } from './interfaces/portal-admin.ts';
import type { PlannedPlacement } from './placement.ts';
import type { PortalDeps } from './portal-deps.ts';
import { type EmbeddedPortalSettings, portalPaths, renderSettings } from './settings.ts';
import type { StartPortalOptions } from './start-options.ts';

/** A container of ours answers within this time after its start, in ms, or it has failed. */
const READY_MS = 30_000;
/** One that already runs gets less before it is made anew. */
const PATIENCE_MS = 4000;
const POLL_MS = 100;

/** What takes back what was done; run from the last to the first. */
export type Undo = (() => Promise<unknown>)[];

export interface BringUp {
  readonly options: StartPortalOptions;
  readonly settings: EmbeddedPortalSettings;
  readonly planned: PlannedPlacement;
  readonly isNewSecret: boolean;
  readonly undo: Undo;
}

/**
 * Network and containers as they should be. Returns the names of the containers that had to be made or started.
 * Throws V6_PORTAL_NOT_RUNNING, V6_VPN_SERVER_UNREACHABLE, V6_ENGINE_*.
 */
export async function bringUp(deps: PortalDeps, input: BringUp): Promise<readonly string[]> {
  const { options, settings, planned, isNewSecret, undo } = input;
  const { scope } = options.context;
  const touched: string[] = [];
  if (planned.newSubnet !== undefined) {
    await deps.engine.networks.ensure(ownNetwork(scope, planned.newSubnet));
    undo.push(() => deps.engine.networks.remove(planned.placement.network));
  }
  const common = { scope, settings, placement: planned.placement, owner: deps.host };
  const portal = {
    spec: withFingerprint(portalContainer, { ...common, image: deps.images.runtime }),
    isReady: () => true,
    failure: 'V6_PORTAL_NOT_RUNNING',
  } as const;
  const server = {
    spec: withFingerprint(vpnServerContainer, { ...common, image: deps.images.vpn }),
    isReady: (report: PortalReport) => report.vpnServer === 'ready',
    failure: 'V6_VPN_SERVER_UNREACHABLE',
  } as const;
  const signal = options.signal;
  if (await ensureReady(deps, portal, { settings, isForced: isNewSecret, undo, signal })) {
    touched.push(portal.spec.name);
  }
  if (await ensureReady(deps, server, { settings, isForced: false, undo, signal })) {
    touched.push(server.spec.name);
  }
  return touched;
}

type SpecInput = Parameters<typeof portalContainer>[0];

/** A container whose label says what it was made from; addresses, image and settings included. */
function withFingerprint(
  make: (input: SpecInput) => ContainerSpec,
  input: Omit<SpecInput, 'fingerprint'>,
): ContainerSpec {
  const spec = make({ ...input, fingerprint: '' });
  const text = JSON.stringify([spec, renderSettings(input.settings)]);
  const fingerprint = createHash('sha256').update(text).digest('hex').slice(0, 16);
  return make({ ...input, fingerprint });
}

interface Part {
  readonly spec: ContainerSpec;
  readonly isReady: (report: PortalReport) => boolean;
  readonly failure: 'V6_PORTAL_NOT_RUNNING' | 'V6_VPN_SERVER_UNREACHABLE';
}

interface ReadyOptions {
  readonly settings: EmbeddedPortalSettings;
  /** Makes it anew although it runs. */
  readonly isForced: boolean;
  readonly undo: Undo;
  readonly signal: AbortSignal | undefined;
}

/** True when the container had to be made or started. */
async function ensureReady(deps: PortalDeps, part: Part, options: ReadyOptions): Promise<boolean> {
  const { containers } = deps.engine;
  const found = await containers.find(part.spec.name);
  if (found && !options.isForced && isSame(found, part.spec)) {
    const isRunning = found.state === 'running';
    if (!isRunning) await containers.start(found.id).catch(() => undefined);
    // It may be on its way up; one that stays silent is made anew.
    if (await waitReady(deps, part, options, isRunning ? PATIENCE_MS : 2 * PATIENCE_MS)) {
      return !isRunning;
    }
  }
  if (found) {
    await containers.stop(found.id, 5);
    await containers.remove(found.id);
  }
  options.undo.push(() => containers.remove(part.spec.name));
  const id = await containers.create(part.spec);
  await containers.start(id);
  if (await waitReady(deps, part, options, READY_MS)) return true;
  throw await notReady(deps, part);
}

function isSame(found: ContainerState, spec: ContainerSpec): boolean {
  return found.labels[SETTINGS_LABEL] === spec.labels[SETTINGS_LABEL];
}

async function waitReady(
  deps: PortalDeps,
  part: Part,
  { settings, signal }: ReadyOptions,
  limitMs: number,
): Promise<boolean> {
  const { adminSocket } = portalPaths(settings);
  const end = deps.clock.now().getTime() + limitMs;
  for (;;) {
    try {
      if (part.isReady(await deps.admin.report(adminSocket))) return true;
    } catch (error) {
      if (!isV6Error(error, 'V6_PORTAL_NOT_RUNNING')) throw error;
    }
    if (deps.clock.now().getTime() >= end) return false;
    const state = await deps.engine.containers.find(part.spec.name);
    if (state?.state === 'exited' || state?.state === 'dead') return false;
    await deps.clock.sleep(POLL_MS, signal);
  }
}

async function notReady(deps: PortalDeps, { spec, failure }: Part): Promise<V6Error> {
  const log = await deps.engine.containers.logs(spec.name, { tail: 15 }).catch(() => '');
  const last = redactText(log).trim().split('\n').slice(-5);
  return new V6Error(failure, `The container ${spec.name} did not come up`, {
    hints: [
      ...(last.join('') === '' ? [] : [`Its last words: ${last.join(' | ')}`]),
      'It was removed again; start it once more with --debug, or look at the engine with docker events.',
    ],
    details: { container: spec.name },
  });
}
