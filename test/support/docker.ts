import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { composeImages } from '../../src/images/compose.ts';
import { imageReferences } from '../../src/images/references.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** The v6-vpn image of these very sources, built when the engine has none yet; V6_TEST_VPN_IMAGE names another one. */
export async function vpnImage(engine: Engine): Promise<string> {
  const named = process.env.V6_TEST_VPN_IMAGE;
  if (named !== undefined && named !== '') return named;
  const images = await composeImages(ROOT, engine);
  await images.build({ only: ['vpn'] });
  return imageReferences(ROOT).vpn;
}

/** What one test file makes on the engine, under a name of its own; `removeAll` leaves nothing. */
export interface Sandbox {
  readonly engine: Engine;
  readonly image: string;
  /** Unique, short enough for a bridge name's middle. */
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly removeAll: () => Promise<void>;
}

/** Everything with these labels goes away at the end; a first call also removes what a crashed run left. */
export async function dockerSandbox(name: string): Promise<Sandbox> {
  const engine = await connectEngine();
  const image = await vpnImage(engine);
  const labels = { 'v6.test': name };
  const removeAll = async (): Promise<void> => {
    for (const { id } of await engine.containers.list(labels)) await engine.containers.remove(id);
    for (const network of await engine.networks.list(labels))
      await engine.networks.remove(network.name);
  };
  await removeAll();
  return { engine, image, id: `${name}${randomBytes(2).toString('hex')}`, labels, removeAll };
}
