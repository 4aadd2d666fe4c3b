/**
 * Values of environment variables as algorithm containers of vantage6 4.2 and later expect them: base32 (RFC 4648,
 * upper case) of the UTF-8 text, each `=` written as `!` (vantage6 4.14 common/__init__.py, encode_env_var).
 */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** `8080` → `HAYDQMA!`; the empty text stays empty. */
export function encodeEnv(text: string): string {
  const bytes = new TextEncoder().encode(text);
  let bits = 0;
  let value = 0;
  let out = '';
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      out += ALPHABET[(value >>> (bits - 5)) & 31];
      bits -= 5;
    }
    value &= (1 << bits) - 1;
  }
  if (bits > 0) out += ALPHABET[(value << (5 - bits)) & 31];
  while (out.length % 8 !== 0) out += '!';
  return out;
}

/** The inverse; text that is not in this form is returned as it is, as upstream does. */
export function decodeEnv(text: string): string {
  if (text === '' || text.length % 8 !== 0 || !/^[A-Z2-7]+!{0,6}$/.test(text)) return text;
  let bits = 0;
  let value = 0;
  const bytes: number[] = [];
  for (const char of text.replaceAll('!', '')) {
    value = ((value << 5) | ALPHABET.indexOf(char)) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bytes.push((value >>> (bits - 8)) & 255);
      bits -= 8;
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
  } catch {
    return text;
  }
}
