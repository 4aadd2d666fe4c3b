import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { systemClock } from '../core/clock.ts';
import { type Context, contextFor, demoRoot, type HostFolders } from '../core/context.ts';
import { generatePrivateKey } from '../core/crypto/keys.ts';
import type { Engine } from '../core/engine/engine.ts';
import { isV6Error } from '../core/errors.ts';
import { LABEL, type Scope } from '../core/labels.ts';
import { composeUserSide } from '../diagnose/compose.ts';
import { imageReferences } from '../images/references.ts';
import { composeNodeHost, nodeImages } from '../node/compose-host.ts';
import { readNodeConfig, startNode } from '../node/host/start-node.ts';
import { stopNode } from '../node/host/stop-node.ts';
import { composePortal } from '../portal/compose.ts';
import { createDemoAdmin } from './admin.ts';
import type { DemoFiles, DemoHost, DemoLogins, DemoNodes, DemoParts, DemoPortal } from './parts.ts';

export interface DemoEnvironment {
  /** Folder of the package (oclif's `config.root`). */
  readonly root: string;
  readonly scope: Scope;
  readonly folders: HostFolders;
  /** Life of the VPN certificates; left out: as it was at the last start, or the portal's default. */
  readonly sessionExpirySeconds?: number;
}

/** What `v6 portal status --demo` looks for when no name is given. */
const PORTAL_NAME = 'default';
const PASSWORD_BYTES = 18;

/** The parts of a demo on this machine. Throws V6_ENGINE_MISSING, V6_ENGINE_PERMISSION. */
export async function composeDemo(environment: DemoEnvironment): Promise<DemoParts> {
  const { root, scope, folders } = environment;
  const host = await composeNodeHost(root);
  const { vpn, runtime, echo } = imageReferences(root);
  const user = await composeUserSide(folders);
  return {
    scope,
    engine: host.engine,
    images: { vpn, runtime, echo },
    files: await composeFiles(scope, folders),
    host: await composeHost(host.engine),
    portal: await composeDemoPortal(environment),
    nodes: composeNodes(environment, host),
    logins: composeLogins(user),
    connectAdmin: async (url, username, password) => {
      const login = await user.logIn({ serverUrl: `${url}/api`, username, password });
      return createDemoAdmin(user.admin(login), user.client(login));
    },
    newPrivateKey: async () => (await generatePrivateKey()).pem,
    // Letters of both cases, digits and a special character, as vantage6 asks for.
    randomPassword: () => `${randomBytes(PASSWORD_BYTES).toString('base64url')}-aA1`,
    clock: systemClock,
  };
}

async function composeFiles(scope: Scope, folders: HostFolders): Promise<DemoFiles> {
  const { portalFiles } = await import('../adapters/portal-files/portal-files.ts');
  const root = demoRoot(scope, folders);
  const runRoot = path.dirname(contextFor('portal', PORTAL_NAME, scope, folders).runDir);
  const at = (file: string): string => path.join(root, file);
  return {
    root,
    dataHome: path.dirname(path.dirname(root)),
    read: (file) => portalFiles.read(at(file)),
    write: async (file, text) => {
      await portalFiles.ensureFolder(path.dirname(at(file)));
      await portalFiles.write(at(file), text);
    },
    makeFolder: async (folder) => {
      await portalFiles.ensureFolder(at(folder));
    },
    remove: (file) => portalFiles.remove(at(file)),
    removeAll: async () => {
      for (const folder of [root, runRoot]) {
        await portalFiles.remove(folder);
        await portalFiles.removeIfEmpty(path.dirname(folder));
      }
    },
  };
}

async function composeHost(engine: Engine): Promise<DemoHost> {
  const [{ createHostView }, { openPortalHost }, { requestJson }] = await Promise.all([
    import('../adapters/host/host-view.ts'),
    import('../adapters/portal-host/portal-host.ts'),
    import('../adapters/http/request.ts'),
  ]);
  const view = createHostView();
  const ports = openPortalHost();
  return {
    isPortFree: (port) => ports.isPortFree({ address: '127.0.0.1', port, protocol: 'tcp' }),
    takenNetworks: async (scope) => {
      const networks = await engine.networks.list({});
      const own = networks.filter(({ labels }) => labels[LABEL.scope] === scope);
      const ownBridges = new Set(own.map(({ bridge }) => bridge));
      const routes = (await view.routes()).filter(({ device }) => !ownBridges.has(device));
      const others = networks.filter((network) => !own.includes(network));
      return [
        ...others.flatMap(({ subnets }) => subnets),
        ...routes.map((route) => route.destination),
      ];
    },
    isHealthy: async (url) => {
      try {
        const { status } = await requestJson({
          method: 'GET',
          url: `${url}/api/health`,
          timeoutMs: 2000,
        });
        return status === 200;
      } catch (error) {
        if (isV6Error(error)) return false;
        throw error;
      }
    },
  };
}

async function composeDemoPortal(environment: DemoEnvironment): Promise<DemoPortal> {
  const { root, scope, folders, sessionExpirySeconds } = environment;
  const portal = await composePortal({ root });
  const { portalFiles } = await import('../adapters/portal-files/portal-files.ts');
  const context = contextFor('portal', PORTAL_NAME, scope, folders);
  const secret = async (file: string): Promise<string> =>
    ((await portalFiles.read(file)) ?? '').trim();
  return {
    start: async (plan, uplink) => {
      const { portalAddress, vpnServerAddress } = plan;
      const started = await portal.start({
        context,
        subnet: plan.vpnSubnet,
        uplink: { network: uplink, portalAddress, vpnServerAddress },
        sessionExpirySeconds,
      });
      const block = started.vpn_server;
      return {
        url: block.url,
        redirectUrl: block.redirect_url,
        clientId: block.client_id,
        clientSecret:
          block.client_secret_file === null ? '' : await secret(block.client_secret_file),
        username: block.portal_username,
        password: await secret(block.portal_userpass_file),
      };
    },
    stop: async () => {
      await portal.stop({ context, removeData: true });
    },
  };
}

function composeNodes(
  { root, scope, folders }: DemoEnvironment,
  host: Awaited<ReturnType<typeof composeNodeHost>>,
): DemoNodes {
  const contextOf = (name: string): Context => contextFor('node', name, scope, folders);
  return {
    verdict: async ({ name }) => {
      try {
        return await host.daemonIn(contextOf(name).runDir, name).verdict(0);
      } catch (error) {
        if (isV6Error(error, 'V6_NODE_NOT_RUNNING', 'V6_NODE_NOT_READY')) return undefined;
        throw error;
      }
    },
    start: async ({ name }, signal) => {
      const context = contextOf(name);
      await readNodeConfig(host.files, context);
      const { engineSocket, user } = host;
      const images = nodeImages(root);
      const started = await startNode(host, { context, images, engineSocket, user, signal });
      return started.vpn;
    },
    stop: async (name) => {
      try {
        await stopNode(host, contextOf(name));
      } catch (error) {
        if (!isV6Error(error, 'V6_NODE_NOT_RUNNING')) throw error;
      }
    },
  };
}

function composeLogins(user: Awaited<ReturnType<typeof composeUserSide>>): DemoLogins {
  return {
    save: async ({ name, url, user: username, password, privateKeyFile }) => {
      const login = await user.logIn({ serverUrl: `${url}/api`, username, password });
      await user.logins.save(name, {
        ...login,
        ...(privateKeyFile === undefined ? {} : { privateKeyFile }),
      });
    },
    remove: async (name) => {
      const login = await user.logins.find(name);
      // The next demo at this address has other keys.
      if (login !== undefined) await user.pins(login).removeAll();
      await user.logins.remove(name);
    },
  };
}
