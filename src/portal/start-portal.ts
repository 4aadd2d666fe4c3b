import path from 'node:path';
import type { Context } from '../core/context.ts';
import { names } from '../core/labels.ts';
import { bringUp, type Undo } from './bring-up.ts';
import { checkHost } from './check-host.ts';
import type { PortalFiles } from './interfaces/files.ts';
import { planPlacement } from './placement.ts';
import type { PortalDeps } from './portal-deps.ts';
import { randomToken } from './secrets.ts';
import {
  type EmbeddedPortalSettings,
  parseSettings,
  portalPaths,
  renderSettings,
} from './settings.ts';
import { planSettings, type StartPortalOptions } from './start-options.ts';

export interface StartedPortal {
  /** `unchanged`: it ran as asked, nothing was touched. `mended`: some of it was there, broken or made from other settings. */
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
  await checkHost(deps, context, planned.placement, before?.placement);
  const wasThere = await hasContainer(deps, context);
  const undo: Undo = [];
  try {
    const isNewSecret = await writeFiles(deps, options, settings, before, undo);
    const touched = await bringUp(deps, { options, settings, planned, isNewSecret, undo });
    return resultOf(
      context,
      settings,
      touched.length === 0 ? 'unchanged' : wasThere ? 'mended' : 'started',
    );
  } catch (error) {
    for (const step of undo.toReversed()) await step().catch(() => undefined);
    throw error;
  }
}

async function hasContainer({ engine }: PortalDeps, { scope }: Context): Promise<boolean> {
  const found = await Promise.all(
    [names.portal(scope), names.vpnServer(scope)].map((name) => engine.containers.find(name)),
  );
  return found.some((container) => container !== undefined);
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

/** Folders, secrets, settings. True when a secret is another one than before. */
async function writeFiles(
  { files }: PortalDeps,
  { password, client }: StartPortalOptions,
  settings: EmbeddedPortalSettings,
  before: EmbeddedPortalSettings | undefined,
  undo: Undo,
): Promise<boolean> {
  const paths = portalPaths(settings);
  await makeFolder(files, settings.dataDir, undo);
  await makeFolder(files, settings.runDir, undo);
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

/** Taken back with the parents that had to be made, as far as nobody else uses them by then. */
async function makeFolder(files: PortalFiles, folder: string, undo: Undo): Promise<void> {
  const first = await files.ensureFolder(folder);
  if (first === undefined) return;
  undo.push(async () => {
    await files.remove(folder);
    for (let at = path.dirname(folder); at.startsWith(first); at = path.dirname(at)) {
      await files.removeIfEmpty(at);
    }
  });
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

function resultOf(
  context: Context,
  settings: EmbeddedPortalSettings,
  state: StartedPortal['state'],
): StartedPortal {
  const { placement } = settings;
  return {
    state,
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
