/**
 * The directives of a client config that we accept, and the shape of their values. OpenVPN runs programs for several
 * others (`up`, `plugin`, `tls-verify`, `script-security` …), opens sockets (`management`) or changes routes, so what is
 * not in this list is refused and never passed on. Sources: eduVPN's files (portal 2.x and 3.x), openvpn(8) 2.6.
 */
export const DIRECTIVES = {
  client: /^$/,
  nobind: /^$/,
  dev: /^tun\d{0,3}$/,
  'dev-type': /^tun$/,
  proto: /^(udp|udp4|tcp|tcp4|tcp-client|tcp4-client)$/,
  remote:
    /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})(?: \d{1,5}(?: (?:udp|udp4|tcp|tcp4|tcp-client|tcp4-client))?)?$/,
  'remote-random': /^$/,
  'resolv-retry': /^(infinite|\d{1,6})$/,
  'remote-cert-tls': /^server$/,
  'verify-x509-name': /^[^\s"'\\]{1,128}(?: (?:name|name-prefix|subject))?$/,
  verb: /^\d{1,2}$/,
  'server-poll-timeout': /^\d{1,4}$/,
  'connect-timeout': /^\d{1,4}$/,
  'connect-retry': /^\d{1,4}(?: \d{1,4})?$/,
  'hand-window': /^\d{1,4}$/,
  'tls-version-min': /^1\.[23](?: or-highest)?$/,
  'tls-cipher': /^[A-Z0-9-]+(?::[A-Z0-9-]+)*$/,
  'tls-ciphersuites': /^[A-Z0-9_]+(?::[A-Z0-9_]+)*$/,
  'data-ciphers': /^[A-Za-z0-9-]+(?::[A-Za-z0-9-]+)*$/,
  'ncp-ciphers': /^[A-Za-z0-9-]+(?::[A-Za-z0-9-]+)*$/,
  cipher: /^[A-Za-z0-9-]+$/,
  auth: /^[A-Za-z0-9-]+$/,
  'auth-nocache': /^$/,
  'reneg-sec': /^\d{1,9}(?: \d{1,9})?$/,
  'key-direction': /^[01]$/,
  'persist-key': /^$/,
  'persist-tun': /^$/,
  'explicit-exit-notify': /^\d{0,2}$/,
  sndbuf: /^\d{1,9}$/,
  rcvbuf: /^\d{1,9}$/,
  'fast-io': /^$/,
  'mute-replay-warnings': /^$/,
} as const satisfies Readonly<Record<string, RegExp>>;

export type Directive = keyof typeof DIRECTIVES;

/** The inline blocks that we accept, and what a block must hold. */
export const BLOCKS = {
  ca: 'certificates',
  cert: 'certificates',
  key: 'key',
  'tls-crypt': 'static',
  'tls-auth': 'static',
} as const;

export type Block = keyof typeof BLOCKS;

export function isDirective(word: string): word is Directive {
  return Object.hasOwn(DIRECTIVES, word);
}

export function isBlock(word: string): word is Block {
  return Object.hasOwn(BLOCKS, word);
}
