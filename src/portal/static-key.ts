/** Bytes of an OpenVPN static key (2048 bits: four keys of 512). */
export const STATIC_KEY_BYTES = 256;

/** The key in OpenVPN's own file format, for `tls-crypt`, without a final line end. `bytes` holds exactly 256. */
export function renderStaticKey(bytes: Uint8Array): string {
  if (bytes.length !== STATIC_KEY_BYTES) {
    throw new RangeError(`a static key has ${STATIC_KEY_BYTES} bytes, not ${bytes.length}`);
  }
  const lines = Buffer.from(bytes).toString('hex').match(/.{32}/g) ?? [];
  return [
    '#',
    '# 2048 bit OpenVPN static key',
    '#',
    '-----BEGIN OpenVPN Static key V1-----',
    ...lines,
    '-----END OpenVPN Static key V1-----',
  ].join('\n');
}
