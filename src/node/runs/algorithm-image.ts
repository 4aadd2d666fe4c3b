import type { ImageState, Images } from '../../core/engine/engine.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';

/**
 * Gets the image of a task. It is always pulled, so that a moved tag is noticed; where the node's policy does not require
 * that (`require_algorithm_pull: false`), an image that was built here and never came from a registry is taken as it is,
 * and one whose pull fails is taken when it is here. Throws V6_IMAGE_NOT_FOUND with the registry's reason.
 */
export async function obtainImage(
  images: Pick<Images, 'find' | 'pull'>,
  reference: string,
  policy: { readonly requireAlgorithmPull: boolean },
  signal: AbortSignal,
): Promise<ImageState> {
  if (policy.requireAlgorithmPull) {
    await images.pull(reference, signal);
  } else {
    const local = await images.find(reference);
    if (local !== undefined && local.digests.length === 0) return local;
    try {
      await images.pull(reference, signal);
    } catch (error) {
      if (local !== undefined && isV6Error(error, 'V6_IMAGE_NOT_FOUND', 'V6_ENGINE_REQUEST'))
        return local;
      throw error;
    }
  }
  const image = await images.find(reference);
  if (image === undefined)
    throw new V6Error('V6_IMAGE_NOT_FOUND', `The image ${reference} is not there after its pull`);
  return image;
}
