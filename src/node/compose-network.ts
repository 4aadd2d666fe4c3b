import { systemClock } from '../core/clock.ts';
import type { NodeConfig } from '../core/config/node-config.ts';
import { parseNodeConfig } from '../core/config/node-config-parser.ts';
import type { Context } from '../core/context.ts';
import type { Engine } from '../core/engine/engine.ts';
import { V6Error } from '../core/errors.ts';
import { IMAGE_LABEL } from '../images/kinds.ts';
import { imageReferences } from '../images/references.ts';
import { composeDaemonIn, composeHostFiles, composeNodeHost } from './compose-host.ts';
import type { NetworkPlanDeps } from './host/network-plan.ts';
import type { NetworkUndoDeps } from './host/network-undo.ts';
import type { NetworkViewDeps } from './host/network-view.ts';
import { HostContainer } from './host-rules/host-container.ts';
import { createHostFirewall } from './host-rules/host-firewall.ts';
import type { HostFirewall, HostRulesRecords } from './interfaces/host-firewall.ts';
import { resolveWithSystem } from './vpn/remotes.ts';

/** `root` is the folder of the package: it tells which image is ours. Throws V6_CONFIG_*, V6_ENGINE_*, V6_IMAGE_NOT_FOUND. */
export async function composeNetworkPlan(
  context: Context,
  root: string,
): Promise<{ readonly deps: NetworkPlanDeps; readonly config: NodeConfig }> {
  const files = await composeHostFiles();
  const config = parseNodeConfig(await files.readConfig(context.configFile), context.configFile);
  const [{ createHostView }, { createNetworkChoiceStore }, { CredentialFile }] = await Promise.all([
    import('../adapters/host/host-view.ts'),
    import('../adapters/host/network-choice-store.ts'),
    import('../adapters/credential-files/credential-file.ts'),
  ]);
  const { engine, daemonIn } = await composeNodeHost();
  const records = await composeRecords(context);
  return {
    config,
    deps: {
      networks: engine.networks,
      host: createHostView(),
      choices: createNetworkChoiceStore(context.dataDir),
      credentials: new CredentialFile(context.dataDir),
      records,
      resolve: resolveWithSystem,
      firewall: await composeFirewall(engine, context, { root, records }),
      daemon: daemonIn(context.runDir, context.name),
    },
  };
}

/** Needs no configuration. Throws V6_ENGINE_*, V6_IMAGE_NOT_FOUND. */
export async function composeNetworkUndo(context: Context, root: string): Promise<NetworkUndoDeps> {
  const { engine, files, daemonIn } = await composeNodeHost();
  const records = await composeRecords(context);
  return {
    engine,
    files,
    firewall: await composeFirewall(engine, context, { root, records }),
    daemon: daemonIn(context.runDir, context.name),
  };
}

/** Of a node that runs the daemon is asked; `host` connects to the engine only where nobody answers. */
export async function composeNetworkView(context: Context, root: string): Promise<NetworkViewDeps> {
  const daemonIn = await composeDaemonIn();
  return {
    daemon: daemonIn(context.runDir, context.name),
    async host() {
      const { engine } = await composeNodeHost();
      const records = await composeRecords(context);
      return { engine, firewall: await composeFirewall(engine, context, { root, records }) };
    },
  };
}

async function composeRecords({ dataDir }: Context): Promise<HostRulesRecords> {
  const { createHostRulesRecords } = await import('../adapters/host/host-rules-records.ts');
  return createHostRulesRecords(dataDir);
}

/** In a container of its own, which `close` removes: what a daemon keeps for itself is left alone. */
async function composeFirewall(
  engine: Engine,
  { scope, name }: Context,
  { root, records }: { readonly root: string; readonly records: HostRulesRecords },
): Promise<HostFirewall> {
  const image = await findVpnImage(engine, root);
  const container = new HostContainer({ engine, image, scope, worksFor: name });
  return createHostFirewall({ engine, container, records, clock: systemClock });
}

/** That of this version, else whichever version is here: after a crash another one must do. Throws V6_IMAGE_NOT_FOUND. */
async function findVpnImage(engine: Engine, root: string): Promise<string> {
  const tags = (await engine.images.list({ [IMAGE_LABEL.kind]: 'vpn' })).flatMap((it) => it.tags);
  const { vpn } = imageReferences(root);
  const found = tags.find((tag) => tag === vpn) ?? tags[0];
  if (found !== undefined) return found;
  throw new V6Error('V6_IMAGE_NOT_FOUND', 'No image of the VPN client is on this machine', {
    hints: ['Build it: v6 images build', 'Or bring it along: v6 images load FILE'],
    details: { image: vpn },
  });
}
