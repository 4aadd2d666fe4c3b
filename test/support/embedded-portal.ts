import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { silentLogger } from '../../src/core/logger.ts';
import type { Cidr } from '../../src/core/net/ipv4.ts';
import { openPortalProcess } from '../../src/portal/compose.ts';
import { type EmbeddedPortalSettings, portalPaths } from '../../src/portal/settings.ts';

export interface EmbeddedPortal {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * The portal that we ship, on loopback with a database and a certificate authority of its own, and no VPN server behind it.
 * One client: with a secret, or public when the secret is empty.
 */
export async function startEmbeddedPortal(input: {
  readonly user: string;
  readonly password: string;
  readonly client: { readonly id: string; readonly secret: string; readonly redirectUri: string };
}): Promise<EmbeddedPortal> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'v6p-'));
  const port = await freePort();
  const settings: EmbeddedPortalSettings = {
    version: 1,
    url: `http://127.0.0.1:${port}`,
    listen: { host: '127.0.0.1', port },
    dataDir: path.join(folder, 'data'),
    runDir: path.join(folder, 'run'),
    subnet: '10.205.0.0/24' as Cidr,
    profile: { id: 'default', displayName: 'Default' },
    remotes: [{ host: '127.0.0.1', port: 1194, protocol: 'udp' }],
    sessionExpirySeconds: 3600,
    accessTokenSeconds: 600,
    account: { user: input.user },
    client: {
      id: input.client.id,
      isPublic: input.client.secret === '',
      redirectUris: [input.client.redirectUri],
    },
    vpn: { port: 1194, protocol: 'udp' },
  };
  const paths = portalPaths(settings);
  await mkdir(path.dirname(paths.passwordFile), { recursive: true });
  await writeFile(paths.passwordFile, input.password);
  await writeFile(paths.clientSecretFile, input.client.secret);
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  const portal = await openPortalProcess(settings, silentLogger).catch(async (error: unknown) => {
    await removeFolder();
    throw error;
  });
  return {
    url: settings.url,
    async close() {
      await portal.close();
      await removeFolder();
    },
  };
}

// The portal puts its own address into its answers, so the port is chosen before it listens.
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
