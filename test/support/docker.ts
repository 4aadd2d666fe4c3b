import { randomBytes } from 'node:crypto';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import type { Engine, ImageState } from '../../src/core/engine/engine.ts';
import { V6Error } from '../../src/core/errors.ts';

/** The newest v6-vpn image of this engine: V6_TEST_VPN_IMAGE, or by its name. Throws V6_IMAGE_NOT_FOUND. */
export async function vpnImage(engine: Engine): Promise<string> {
  const named = process.env.V6_TEST_VPN_IMAGE;
  if (named !== undefined && named !== '') return named;
  const images = (await engine.images.list({})).filter((image) => tagOf(image) !== undefined);
  const newest = images.toSorted((a, b) => a.createdAt.getTime() - b.createdAt.getTime()).at(-1);
  const tag = newest && tagOf(newest);
  if (tag === undefined)
    throw new V6Error('V6_IMAGE_NOT_FOUND', 'There is no v6-vpn image for this test', {
      hints: ['v6 images build'],
    });
  return tag;
}

const tagOf = (image: ImageState): string | undefined =>
  image.tags.find((tag) => tag.startsWith('v6-vpn:'));

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
