import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import { createHostView } from '../../src/adapters/host/host-view.ts';
import { portalAdmin } from '../../src/adapters/portal-admin/client.ts';
import { portalFiles } from '../../src/adapters/portal-files/portal-files.ts';
import { openPortalHost } from '../../src/adapters/portal-host/portal-host.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Context } from '../../src/core/context.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import type { Scope } from '../../src/core/labels.ts';
import { composeImages } from '../../src/images/compose.ts';
import { imageReferences } from '../../src/images/references.ts';
import type { PortalDeps } from '../../src/portal/portal-deps.ts';
import { portalStatus } from '../../src/portal/portal-status.ts';
import { stopPortal } from '../../src/portal/stop-portal.ts';
import type { PortalAccount } from './portal-client.ts';

const ROOT = path.join(import.meta.dirname, '../..');

/** What `v6 portal` works with, in a scope and folder of its own, and the containers of a test beside it. */
export interface PortalWorld extends AsyncDisposable {
  readonly folder: string;
  readonly engine: Engine;
  readonly deps: PortalDeps;
  readonly context: Context;
  /** Removes the portal with its data, and all containers with the labels of the test. */
  clear(): Promise<void>;
}

export async function portalWorld(
  scope: Scope,
  labels: Readonly<Record<string, string>>,
): Promise<PortalWorld> {
  const engine = await connectEngine();
  await (await composeImages(ROOT, engine)).build({ only: ['vpn', 'runtime'] });
  const folder = await mkdtemp(path.join(os.tmpdir(), 'v6p-'));
  const context: Context = {
    type: 'portal',
    name: 'default',
    scope,
    configFile: path.join(folder, 'unused.yaml'),
    dataDir: path.join(folder, 'data'),
    logDir: path.join(folder, 'log'),
    runDir: path.join(folder, 'run', 'portal'),
  };
  const deps: PortalDeps = {
    engine,
    files: portalFiles,
    host: { ...createHostView(), ...openPortalHost() },
    admin: portalAdmin,
    clock: systemClock,
    // Once: a build that somebody else makes meanwhile is not ours.
    images: { ...imageReferences(ROOT) },
  };
  const clear = async (): Promise<void> => {
    for (const { id } of await engine.containers.list(labels)) await engine.containers.remove(id);
    await stopPortal(deps, { context, removeData: true });
  };
  return {
    folder,
    engine,
    deps,
    context,
    clear,
    [Symbol.asyncDispose]: async () => {
      await clear();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What a coordination server is configured with, read from the running portal. */
export async function accountOf({ deps, context }: PortalWorld): Promise<PortalAccount> {
  const { vpn_server: block } = await portalStatus(deps, context);
  if (block === null) throw new Error('there is no portal');
  return {
    url: block.url,
    username: block.portal_username,
    password: await secretIn(block.portal_userpass_file),
    clientId: block.client_id,
    clientSecret: await secretIn(block.client_secret_file),
    redirectUri: block.redirect_url,
  };
}

async function secretIn(file: string | null): Promise<string> {
  return file === null ? '' : (await readFile(file, 'utf8')).trim();
}
