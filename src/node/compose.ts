import path from 'node:path';
import { type Clock, systemClock } from '../core/clock.ts';
import { type NodeConfig, serverBaseUrl } from '../core/config/node-config.ts';
import { parseNodeConfig } from '../core/config/node-config-parser.ts';
import type { Context } from '../core/context.ts';
import type { EncryptionDeps } from '../core/crypto/key-ring.ts';
import type { Engine } from '../core/engine/engine.ts';
import { V6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { imageReferences } from '../images/references.ts';
import { serveControl } from './control.ts';
import { type DaemonOptions, NodeDaemon } from './daemon.ts';
import { pinFolder, privateKeyPath } from './encryption/private-key-path.ts';
import { HostContainer } from './host-rules/host-container.ts';
import { createHostFirewall } from './host-rules/host-firewall.ts';
import type { Coordinator } from './interfaces/coordinator.ts';
import type { VpnClient } from './interfaces/vpn-client.ts';
import { nodeInfo } from './node-info.ts';
import { SlotProxy } from './proxy/slot-proxy.ts';
import type { OwnNetworks } from './slots/own-networks.ts';
import { createLadder } from './vpn/ladder.ts';
import { createVpnClient } from './vpn-client/vpn-client.ts';

export interface NodeInput extends DaemonOptions {
  readonly context: Context;
  /** Reference of the v6-vpn image. */
  readonly vpnImage: string;
  /** Default: JSON lines on stderr. */
  readonly logger?: Logger;
  /** Default: the engine of this machine. */
  readonly engine?: Engine;
}

/**
 * Reads the configuration of a node and wires its daemon, which is not started yet. Throws V6_CONFIG_*, V6_ENGINE_MISSING,
 * V6_ENGINE_PERMISSION.
 */
export async function composeNode(input: NodeInput): Promise<NodeDaemon> {
  const { context, vpnImage } = input;
  const { hostFiles } = await import('../adapters/host-files/host-files.ts');
  const text = await hostFiles.readConfig(context.configFile);
  const config = parseNodeConfig(text, context.configFile);
  await trustServer(config);
  const encryption = await composeEncryption(config, context);
  const clock = systemClock;
  const logger = input.logger ?? (await composeLogger(context, config));
  const engine = input.engine ?? (await composeEngine());
  const { coordinator, proxy } = await composeServerSide(config, context, { clock, logger });
  const [{ openManagement }, { CredentialFile }, { createHostRulesRecords }, host] =
    await Promise.all([
      import('../adapters/openvpn/management.ts'),
      import('../adapters/credential-files/credential-file.ts'),
      import('../adapters/host/host-rules-records.ts'),
      composeHost(context),
    ]);
  const { vpnSubnet } = config;
  return new NodeDaemon(
    {
      ...host,
      ...(encryption === undefined ? {} : { encryption }),
      context,
      config,
      engine,
      coordinator,
      proxy,
      clock,
      logger,
      firewall: createHostFirewall({
        engine,
        container: new HostContainer({
          engine,
          image: vpnImage,
          scope: context.scope,
          node: context.name,
        }),
        records: createHostRulesRecords(context.dataDir),
        clock,
        logger,
      }),
      createVpnClient: (networks) =>
        createVpnClient({
          ...vpnClientSettings(input, networks, vpnSubnet),
          engine,
          clock,
          logger,
          openManagement,
        }),
      hasTun: (vpnClient) => hasTun(engine, vpnClient),
      untilEngineIsLost: async (signal) => {
        const { untilSocketIsGone } = await import('../adapters/docker/socket-watch.ts');
        await untilSocketIsGone(signal);
      },
      createLadder: (vpnClient, onRemotes) => {
        if (vpnSubnet === undefined) throw new V6Error('V6_VPN_OFF', 'vpn_subnet is empty');
        return createLadder({
          vpnClient,
          onRemotes,
          vpn: coordinator.vpn,
          credentials: new CredentialFile(context.dataDir),
          subnet: vpnSubnet,
          clock,
          logger,
        });
      },
      serveControl: (control) => serveControl(control, { runDir: context.runDir, logger }),
    },
    input,
  );
}

/** The v6-vpn image of this version; `root` is the folder of the package. */
export function vpnImageOf(root: string): string {
  return imageReferences(root).vpn;
}

interface Basics {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The server as the node sees it, and the proxy through which algorithms see it. */
async function composeServerSide(
  config: NodeConfig,
  { runDir }: Context,
  { clock, logger }: Basics,
): Promise<{ coordinator: Coordinator; proxy: SlotProxy }> {
  const [{ NodeSession }, { createHttpCoordinator }, { NodeEvents }, { createProxyUpstream }] =
    await Promise.all([
      import('../adapters/http/node-session.ts'),
      import('../adapters/http/node-coordinator.ts'),
      import('../adapters/socket/node-events.ts'),
      import('../adapters/http/proxy-upstream.ts'),
    ]);
  const session = new NodeSession({ ...config, clock });
  const events = new NodeEvents({
    origin: session.origin,
    token: session,
    clock,
    logger,
    ...(config.shareConfig ? { info: nodeInfo(config) } : {}),
  });
  const proxy = new SlotProxy(createProxyUpstream(session.baseUrl), logger, {
    folder: path.join(runDir, 'proxy'),
  });
  return { coordinator: { ...createHttpCoordinator(session), events }, proxy };
}

/** Before the first connection. */
async function trustServer({ serverCa }: NodeConfig): Promise<void> {
  if (serverCa === undefined) return;
  const { trustAuthority } = await import('../adapters/http/trusted-authority.ts');
  await trustAuthority(serverCa);
}

/** The private key is read before anything else happens. Throws V6_ENCRYPTION_KEY_FILE. */
async function composeEncryption(
  config: NodeConfig,
  context: Context,
): Promise<EncryptionDeps | undefined> {
  const file = privateKeyPath(config, context);
  if (file === undefined) return undefined;
  const [{ readPrivateKeyFile }, { createPinFiles }] = await Promise.all([
    import('../adapters/organization-keys/private-key-file.ts'),
    import('../adapters/organization-keys/pin-files.ts'),
  ]);
  const { pinnedKeys, trustOnFirstUse } = config.encryption;
  return {
    privateKey: await readPrivateKeyFile(file),
    pins: createPinFiles(pinFolder(context), serverBaseUrl(config)),
    rules: {
      pinned: pinnedKeys,
      trustOnFirstUse,
      trustCommand: `v6 node keys trust --name ${context.name}`,
    },
  };
}

async function composeHost({ dataDir }: Context) {
  const [{ createHostView }, { createNetworkChoiceStore }, { createRunFiles }] = await Promise.all([
    import('../adapters/host/host-view.ts'),
    import('../adapters/host/network-choice-store.ts'),
    import('../adapters/host/run-files.ts'),
  ]);
  return {
    host: createHostView(),
    choices: createNetworkChoiceStore(dataDir),
    files: createRunFiles(dataDir),
  };
}

function vpnClientSettings(
  { context, vpnImage }: NodeInput,
  { isolatedRange, uplink, uplinkGateway }: OwnNetworks,
  vpnSubnet: NodeConfig['vpnSubnet'],
) {
  const { name, scope, runDir } = context;
  return {
    image: vpnImage,
    node: { name, scope },
    runDir,
    uplink: { network: uplink },
    uplinkGateway,
    vpnSubnet,
    isolatedRange,
  };
}

/** The engine gives a container the device only where the host has one; the file in the container tells. */
async function hasTun(engine: Engine, vpnClient: VpnClient): Promise<boolean> {
  const { container } = await vpnClient.describe();
  const test = ['/bin/sh', '-c', 'test -c /dev/net/tun'];
  return (await engine.containers.exec(container, test)).exitCode === 0;
}

async function composeLogger({ name, scope }: Context, config: NodeConfig): Promise<Logger> {
  const { createJsonLogger } = await import('../adapters/host/json-logger.ts');
  return createJsonLogger({ level: config.logLevel, base: { context: `${scope}/${name}` } });
}

async function composeEngine(): Promise<Engine> {
  const { connectEngine } = await import('../adapters/docker/engine.ts');
  return connectEngine({ env: process.env });
}
