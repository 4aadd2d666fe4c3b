import type { ImageState } from '../core/engine/engine.ts';
import {
  type AnyImageKind,
  BASE_KINDS,
  BASE_OF,
  IMAGE_KINDS,
  IMAGE_LABEL,
  type ImageIdentity,
  type ImageKind,
} from './kinds.ts';

export interface BuildPlan {
  /** What has to be built, each after what it stands on. */
  readonly build: readonly AnyImageKind[];
  /** What the engine already has. */
  readonly present: readonly ImageKind[];
}

/** True when the engine's image was made of exactly these inputs. */
export function isCurrent(identity: ImageIdentity, image: ImageState | undefined): boolean {
  return image?.labels[IMAGE_LABEL.content] === identity.content;
}

/**
 * Which images to build so that the wanted ones are there: nothing that the engine has, and a base only for an image that
 * is built. With `isForced` all wanted ones and their bases.
 */
export function planBuild(input: {
  readonly wanted: readonly ImageKind[];
  readonly current: ReadonlySet<AnyImageKind>;
  readonly isForced: boolean;
}): BuildPlan {
  const wanted = IMAGE_KINDS.filter((kind) => input.wanted.includes(kind));
  const isMissing = (kind: AnyImageKind): boolean => input.isForced || !input.current.has(kind);
  const missing = wanted.filter(isMissing);
  const bases = BASE_KINDS.filter(
    (base) => isMissing(base) && missing.some((kind) => BASE_OF[kind] === base),
  );
  return { build: [...bases, ...missing], present: wanted.filter((kind) => !isMissing(kind)) };
}
