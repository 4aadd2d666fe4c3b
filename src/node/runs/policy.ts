import { V6Error } from '../../core/errors.ts';

/** An entry with one of these is a regular expression (vantage6 4.14 docker_manager.py, is_docker_image_allowed). */
const PATTERN_SIGNS = /[*\\?$^+[\](){}|]/;

/**
 * Whether the node's `policies.allowed_algorithms` let this image run. An entry is a regular expression that must match from
 * the start, an image with its tag or digest, or an image without tag, which allows every tag. Undefined allows all.
 */
export function isImageAllowed(image: string, allowed: readonly string[] | undefined): boolean {
  if (allowed === undefined) return true;
  return allowed.some((entry) => {
    if (entry === image) return true;
    if (!PATTERN_SIGNS.test(entry)) return entry === withoutTag(image);
    return compile(entry).test(image);
  });
}

/** `registry:5000/a/b:1@sha256:…` → `registry:5000/a/b` */
export function withoutTag(image: string): string {
  const [plain = image] = image.split('@');
  const colon = plain.lastIndexOf(':');
  return colon > plain.lastIndexOf('/') ? plain.slice(0, colon) : plain;
}

function compile(entry: string): RegExp {
  try {
    return new RegExp(entry, 'y');
  } catch (error) {
    throw new V6Error(
      'V6_CONFIG_INVALID',
      `policies.allowed_algorithms holds ${JSON.stringify(entry)}, which is not a regular expression`,
      { cause: error, hints: ['Write an image name, or a valid regular expression.'] },
    );
  }
}
