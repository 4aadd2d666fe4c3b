import type { ImageState, Images } from '../core/engine/engine.ts';
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
    // An image that somebody builds on ours carries our labels as well: the name tells them apart.
    const images = await engine.images.list({ [IMAGE_LABEL.kind]: kind });
    const sorted = images.toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
    for (const image of sorted) {
      const reference = image.tags.find((tag) => tag.startsWith(`v6-${kind}:`));
      if (reference === undefined) continue;
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
