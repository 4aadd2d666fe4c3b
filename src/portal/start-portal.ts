import { createHash } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import type { Context } from '../core/context.ts';
import type { ContainerSpec, ContainerState, Engine } from '../core/engine/engine.ts';
import { isV6Error, V6Error } from '../core/errors.ts';
import { names } from '../core/labels.ts';
import { redactText } from '../core/redact.ts';
import {
  ownNetwork,
  portalContainer,
  SETTINGS_LABEL,
  vpnServerContainer,
} from './container-specs.ts';
import type { PortalFiles } from './interfaces/files.ts';
import type { PortalHost } from './interfaces/host.ts';
import type { PortalAdmin, PortalReport } from './interfaces/portal-admin.ts';
import { type PlannedPlacement, planPlacement } from './placement.ts';
import { randomToken } from './secrets.ts';
import {
  type EmbeddedPortalSettings,
  type PortalPlacement,
  parseSettings,
  portalPaths,
  renderSettings,
} from './settings.ts';
import { planSettings, type StartPortalOptions } from './start-options.ts';

/** A container of ours answers within this time after its start, in ms, or it has failed. */
const READY_MS = 30_000;
/** One that already runs gets less before it is made anew. */
const PATIENCE_MS = 4000;
const POLL_MS = 100;

export interface PortalDeps {
  readonly engine: Pick<Engine, 'containers' | 'networks' | 'images'>;
  readonly files: PortalFiles;
  readonly host: PortalHost;
  readonly admin: PortalAdmin;
  readonly clock: Clock;
  /** References of the two images; a getter may throw V6_IMAGE_NOT_FOUND. */
  readonly images: { readonly vpn: string; readonly runtime: string };
}

export interface StartedPortal {
  /** `unchanged`: it ran as asked, nothing was touched. */
  readonly state: 'started' | 'mended' | 'unchanged';
  readonly url: string;
  readonly subnet: string;
  readonly remotes: readonly string[];
  readonly containers: { readonly portal: string; readonly vpnServer: string };
  readonly network: string;
  readonly portalAddress: string;
  readonly vpnServerAddress: string;
  readonly dataDir: string;
  /** The server's `vpn_server` block; secrets as paths of files. */
  readonly vpn_server: VpnServerBlock;
}

/** Keys as upstream spells them; the two that hold secrets name files. */
export interface VpnServerBlock {
  readonly url: string;
  readonly redirect_url: string;
  readonly client_id: string;
  /** Null for a public client. */
  readonly client_secret_file: string | null;
  readonly portal_username: string;
  readonly portal_userpass_file: string;
}

/**
 * Starts portal and VPN server; running as asked already: nothing. What is half there is mended. A failure undoes what this
 * call made. Throws V6_NET_TUN_MISSING, V6_NET_OVERLAP, V6_NET_PORT_IN_USE, V6_IMAGE_NOT_FOUND, V6_PORTAL_NOT_RUNNING,
 * V6_VPN_SERVER_UNREACHABLE (did not come up), V6_CONFIG_*, V6_USAGE, V6_ENGINE_*.
 */
export async function startPortal(
  deps: PortalDeps,
  options: StartPortalOptions,
): Promise<StartedPortal> {
  const { context } = options;
  const before = await findSettings(deps.files, context);
  const planned = await planPlacement(
    { networks: deps.engine.networks, host: deps.host },
    options,
    before,
  );
  const settings = planSettings(options, before, planned.placement);
  await checkImages(deps);
  if (!(await deps.host.hasTunDevice())) throw tunMissing();
  await checkPorts(deps, context, planned.placement, before?.placement);
  const undo: (() => Promise<unknown>)[] = [];
  try {
    const isNewSecret = await writeFiles(deps, options, settings, before, undo);
    const touched = await bringUp(deps, { options, settings, planned, isNewSecret, undo });
    return resultOf(context, settings, touched, before !== undefined);
  } catch (error) {
    for (const step of undo.toReversed()) await step().catch(() => undefined);
    throw error;
  }
}

/** The settings of the last start. Undefined when there was none. Throws V6_CONFIG_SYNTAX, V6_CONFIG_INVALID. */
export async function findSettings(
  files: Pick<PortalFiles, 'read'>,
  context: Pick<Context, 'dataDir' | 'runDir'>,
): Promise<EmbeddedPortalSettings | undefined> {
  const { settings } = portalPaths(context);
  const text = await files.read(settings);
  return text === undefined ? undefined : parseSettings(text, settings);
}

async function checkImages({ engine, images }: PortalDeps): Promise<void> {
  for (const reference of [images.runtime, images.vpn]) {
    if ((await engine.images.find(reference)) !== undefined) continue;
    throw new V6Error('V6_IMAGE_NOT_FOUND', `The image ${reference} is not on this machine`, {
      hints: ['Build it: npx v6 images build'],
    });
  }
}

function tunMissing(): V6Error {
  return new V6Error('V6_NET_TUN_MISSING', 'This host has no tun device: /dev/net/tun', {
    hints: [
      'Load the driver as root: modprobe tun',
      'In a virtual machine or container, ask whoever runs its host to allow /dev/net/tun.',
    ],
  });
}

/** Ports that our own running containers hold already are not in our way. */
async function checkPorts(
  deps: PortalDeps,
  context: Context,
  { publish }: PortalPlacement,
  before: PortalPlacement | undefined,
): Promise<void> {
  const wanted = [
    { port: publish?.http, protocol: 'tcp', kept: before?.publish?.http, by: names.portal },
    { port: publish?.vpn, protocol: 'udp', kept: before?.publish?.vpn, by: names.vpnServer },
  ] as const;
  for (const { port, protocol, kept, by } of wanted) {
    if (port === undefined || publish === undefined) continue;
    const holder = await deps.engine.containers.find(by(context.scope));
    if (kept === port && holder?.state === 'running') continue;
    if (await deps.host.isPortFree({ address: publish.address, port, protocol })) continue;
    throw new V6Error(
      'V6_NET_PORT_IN_USE',
      `Port ${port}/${protocol} of ${publish.address} is in use on this host`,
      {
        hints: [
          protocol === 'tcp'
            ? 'Choose another: --http-port PORT'
            : 'Choose another: --vpn-port PORT',
          `See who holds it: ss -lnp${protocol === 'tcp' ? 't' : 'u'} | grep :${port}`,
        ],
        details: { port, protocol, address: publish.address },
      },
    );
  }
}

type Undo = (() => Promise<unknown>)[];

/** Folders, secrets, settings. True when a secret is another one than before. */
async function writeFiles(
  { files }: PortalDeps,
  { password, client }: StartPortalOptions,
  settings: EmbeddedPortalSettings,
  before: EmbeddedPortalSettings | undefined,
  undo: Undo,
): Promise<boolean> {
  const paths = portalPaths(settings);
  if (await files.ensureFolder(settings.dataDir)) undo.push(() => files.remove(settings.dataDir));
  if (await files.ensureFolder(settings.runDir)) undo.push(() => files.remove(settings.runDir));
  await files.ensureFolder(paths.clientConfigs);
  await files.ensureFolder(paths.vpnRun);
  const isNewPassword = await writeSecret(files, paths.passwordFile, password);
  const isNewClientSecret = settings.client.isPublic
    ? false
    : await writeSecret(files, paths.clientSecretFile, client?.secret);
  const text = renderSettings(settings);
  if (before === undefined || renderSettings(before) !== text) {
    await files.write(paths.settings, text);
    undo.push(() =>
      before === undefined
        ? files.remove(paths.settings)
        : files.write(paths.settings, renderSettings(before)),
    );
  }
  return isNewPassword || isNewClientSecret;
}

async function writeSecret(
  files: PortalFiles,
  file: string,
  wanted: string | undefined,
): Promise<boolean> {
  const known = (await files.read(file))?.trim();
  if (known && (wanted === undefined || wanted === known)) return false;
  await files.write(file, `${wanted ?? randomToken()}\n`);
  return true;
}

interface BringUp {
  readonly options: StartPortalOptions;
  readonly settings: EmbeddedPortalSettings;
  readonly planned: PlannedPlacement;
  readonly isNewSecret: boolean;
  readonly undo: Undo;
}

/** Names of the containers that had to be made or started. */
async function bringUp(deps: PortalDeps, input: BringUp): Promise<readonly string[]> {
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

function resultOf(
  context: Context,
  settings: EmbeddedPortalSettings,
  touched: readonly string[],
  wasThere: boolean,
): StartedPortal {
  const { placement } = settings;
  return {
    state:
      touched.length === 0 ? 'unchanged' : wasThere && touched.length === 1 ? 'mended' : 'started',
    url: settings.url,
    subnet: settings.subnet,
    remotes: settings.remotes.map((remote) => `${remote.host}:${remote.port}/${remote.protocol}`),
    containers: { portal: names.portal(context.scope), vpnServer: names.vpnServer(context.scope) },
    network: placement?.network ?? '',
    portalAddress: placement?.portalAddress ?? '',
    vpnServerAddress: placement?.vpnServerAddress ?? '',
    dataDir: settings.dataDir,
    vpn_server: vpnServerBlock(settings),
  };
}

/** What the coordination server's configuration needs, with files in place of secrets. */
export function vpnServerBlock(settings: EmbeddedPortalSettings): VpnServerBlock {
  const paths = portalPaths(settings);
  return {
    url: settings.url,
    redirect_url: settings.client.redirectUris[0] ?? '',
    client_id: settings.client.id,
    client_secret_file: settings.client.isPublic ? null : paths.clientSecretFile,
    portal_username: settings.account.user,
    portal_userpass_file: paths.passwordFile,
  };
}
