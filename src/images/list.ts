import type { ImageState, Images } from '../core/engine/engine.ts';
import { V6Error } from '../core/errors.ts';
import { LABEL } from '../core/labels.ts';
import { type AnyImageKind, BASE_KINDS, IMAGE_KINDS, IMAGE_LABEL } from './kinds.ts';
import { identify, imageReferences } from './references.ts';

export interface ListedImage {
  readonly kind: AnyImageKind;
  readonly reference: string;
  readonly id: string;
  /** Version of v6 that built it. */
  readonly version: string;
  readonly content: string;
  readonly sizeBytes: number;
  readonly createdAt: Date;
  /** True when it is what this build of v6 uses. */
  readonly isCurrent: boolean;
}

/**
 * The images of ours that the engine has, of any version, by kind and age. `root`, where given, decides which are current.
 * Throws V6_ENGINE_*.
 */
export async function listImages(
  engine: { readonly images: Pick<Images, 'list'> },
  root?: string,
): Promise<readonly ListedImage[]> {
  const found: ListedImage[] = [];
  for (const kind of [...IMAGE_KINDS, ...BASE_KINDS]) {
    const current = root === undefined ? undefined : findCurrent(root, kind);
    for (const { reference, image } of await ownImages(engine, kind)) {
      const content = image.labels[IMAGE_LABEL.content] ?? '';
      found.push({
        kind,
        reference,
        id: image.id,
        version: image.labels[LABEL.version] ?? '',
        content,
        sizeBytes: image.sizeBytes,
        createdAt: image.createdAt,
        isCurrent: isCurrentImage(image, current),
      });
    }
  }
  return found;
}

/**
 * The image of the VPN client, to look after a host's rules with: that of this build when the engine has it, else the newest
 * of ours; after a crash another version must do. Throws V6_IMAGE_NOT_FOUND, V6_ENGINE_*.
 */
export async function findVpnImage(
  engine: { readonly images: Pick<Images, 'list'> },
  root: string,
): Promise<string> {
  const { vpn } = imageReferences(root);
  const references = (await ownImages(engine, 'vpn')).map(({ reference }) => reference);
  const found = references.find((reference) => reference === vpn) ?? references[0];
  if (found !== undefined) return found;
  throw new V6Error('V6_IMAGE_NOT_FOUND', 'No image of the VPN client is on this machine', {
    hints: [
      'Build it: v6 images build',
      'Or bring it along: v6 images load FILE',
      'Or remove all rules of v6 yourself: nft delete table inet v6guard',
    ],
    details: { image: vpn },
  });
}

/**
 * Images of one kind, newest first. An image that somebody builds on ours carries our labels as well, and anybody can write
 * them into an image that a node pulls: the name tells them apart, because no image comes from a registry with such a one.
 */
async function ownImages(
  engine: { readonly images: Pick<Images, 'list'> },
  kind: AnyImageKind,
): Promise<readonly { readonly reference: string; readonly image: ImageState }[]> {
  const images = await engine.images.list({ [IMAGE_LABEL.kind]: kind });
  return images
    .toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime())
    .flatMap((image) => {
      const reference = image.tags.find((tag) => tag.startsWith(`v6-${kind}:`));
      return reference === undefined ? [] : [{ reference, image }];
    });
}

/** What this build uses: by content, or only by name inside the runtime image, where there are no recipes. */
type Current = { readonly reference: string; readonly content?: string };

function findCurrent(root: string, kind: AnyImageKind): Current | undefined {
  try {
    return identify(root, kind);
  } catch {
    // Inside the runtime image, or not built.
  }
  try {
    const references = imageReferences(root);
    return kind === 'vpn' || kind === 'runtime' || kind === 'echo'
      ? { reference: references[kind] }
      : undefined;
  } catch {
    return undefined;
  }
}

function isCurrentImage(image: ImageState, current: Current | undefined): boolean {
  if (current === undefined) return false;
  if (current.content === undefined) return image.tags.includes(current.reference);
  return current.content === image.labels[IMAGE_LABEL.content];
}
