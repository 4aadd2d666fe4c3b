import type { NodeConfig } from '../core/config/node-config.ts';
import { parseNodeConfig } from '../core/config/node-config-parser.ts';
import type { Context } from '../core/context.ts';
import {
  composeDaemonIn,
  composeHostFiles,
  composeHostFirewall,
  composeNodeHost,
} from './compose-host.ts';
import type { NetworkPlanDeps } from './host/network-plan.ts';
import type { NetworkUndoDeps } from './host/network-undo.ts';
import type { NetworkViewDeps } from './host/network-view.ts';
import { resolveWithSystem } from './vpn/remotes.ts';

/** `root` is the folder of the package: it tells which image is ours. Throws V6_CONFIG_*, V6_ENGINE_*, V6_IMAGE_NOT_FOUND. */
export async function composeNetworkPlan(
  context: Context,
  root: string,
): Promise<{ readonly deps: NetworkPlanDeps; readonly config: NodeConfig }> {
  const files = await composeHostFiles();
  const config = parseNodeConfig(await files.readConfig(context.configFile), context.configFile);
  const [
    { createHostView },
    { createNetworkChoiceStore },
    { createHostRulesRecords },
    { CredentialFile },
  ] = await Promise.all([
    import('../adapters/host/host-view.ts'),
    import('../adapters/host/network-choice-store.ts'),
    import('../adapters/host/host-rules-records.ts'),
    import('../adapters/credential-files/credential-file.ts'),
  ]);
  const { engine, daemonIn } = await composeNodeHost(root);
  return {
    config,
    deps: {
      networks: engine.networks,
      host: createHostView(),
      choices: createNetworkChoiceStore(context.dataDir),
      credentials: new CredentialFile(context.dataDir),
      records: createHostRulesRecords(context.dataDir),
      resolve: resolveWithSystem,
      firewall: await composeHostFirewall(engine, context, root),
      daemon: daemonIn(context.runDir, context.name),
    },
  };
}

/** Needs no configuration. Throws V6_ENGINE_*, V6_IMAGE_NOT_FOUND. */
export async function composeNetworkUndo(context: Context, root: string): Promise<NetworkUndoDeps> {
  const { engine, files, daemonIn } = await composeNodeHost(root);
  return {
    engine,
    files,
    firewall: await composeHostFirewall(engine, context, root),
    daemon: daemonIn(context.runDir, context.name),
  };
}

/** Of a node that runs the daemon is asked; `host` connects to the engine only where nobody answers. */
export async function composeNetworkView(context: Context, root: string): Promise<NetworkViewDeps> {
  const daemonIn = await composeDaemonIn();
  return {
    daemon: daemonIn(context.runDir, context.name),
    async host() {
      const { engine } = await composeNodeHost(root);
      return { engine, firewall: await composeHostFirewall(engine, context, root) };
    },
  };
}
