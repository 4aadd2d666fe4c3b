/**
 * The grammar of image references (distribution: reference/reference.go, the comment at its head): an optional host with port,
 * path components, an optional tag, an optional digest. An image id (`sha256:` and 64 hex digits, or its beginning) fits as well.
 */
const WORD = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const HOST =
  '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\\d{1,5})?';
const TAG = '[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}';
const DIGEST = '[a-zA-Z][a-zA-Z0-9]*(?:[-_+.][a-zA-Z][a-zA-Z0-9]*)*:[0-9a-fA-F]{32,256}';
const REFERENCE = new RegExp(`^(?:${HOST}/)?${WORD}(?:/${WORD})*(?::${TAG})?(?:@${DIGEST})?$`);
/** Of a name (reference.go, NameTotalLengthMax), with room for tag and digest. */
const LONGEST = 255 + 128 + 256;

/**
 * Whether a text names an image. A task brings such a name from a stranger, and it becomes part of a path at the engine's
 * interface: with `../` in it, it would be another request.
 */
export function isImageReference(text: string): boolean {
  return text.length <= LONGEST && REFERENCE.test(text);
}
