import type { PortalRemote } from './settings.ts';

export interface ClientConfigInput {
  /** Root of the portal with its prefix and a final slash. */
  readonly portalUrl: string;
  readonly profile: { readonly id: string; readonly displayName: string };
  readonly expiresAt: Date;
  readonly authority: string;
  readonly certificate: string;
  readonly privateKey: string;
  readonly staticKey: string;
  readonly remotes: readonly PortalRemote[];
  /** Puts the TCP remotes first. */
  readonly prefersTcp: boolean;
}

/**
 * The .ovpn file as an eduVPN portal 3.4.1 renders it, line for line: comments, options, inline keys, remotes last, LF line
 * ends, no final one. Addresses, routes and keepalive are pushed by the server.
 */
export function renderClientConfig(input: ClientConfigInput): string {
  const first = input.prefersTcp ? 'tcp' : 'udp';
  const remotes = [
    ...input.remotes.filter(({ protocol }) => protocol === first),
    ...input.remotes.filter(({ protocol }) => protocol !== first),
  ];
  return [
    `# Portal: ${input.portalUrl}`,
    `# Profile: ${input.profile.displayName} (${input.profile.id})`,
    `# Expires: ${atomTime(input.expiresAt)}`,
    '',
    'dev tun',
    'client',
    'nobind',
    'remote-cert-tls server',
    'verb 3',
    'server-poll-timeout 10',
    'tls-version-min 1.3',
    'data-ciphers AES-256-GCM:CHACHA20-POLY1305',
    'reneg-sec 0',
    ...inline('ca', input.authority),
    ...inline('cert', input.certificate),
    ...inline('key', input.privateKey),
    ...inline('tls-crypt', input.staticKey),
    ...remotes.map(({ host, port, protocol }) => `remote ${host} ${port} ${protocol}`),
  ].join('\n');
}

function inline(name: string, text: string): string[] {
  return [`<${name}>`, text, `</${name}>`];
}

/** ISO 8601 with an offset and no fraction, as the portal's comments have it. */
function atomTime(at: Date): string {
  return `${at.toISOString().slice(0, 19)}+00:00`;
}
