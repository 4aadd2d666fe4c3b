import path from 'node:path';
import type { Context } from '../core/context.ts';
import { V6Error } from '../core/errors.ts';
import { type Cidr, type Ipv4, parseCidr, rangeOf } from '../core/net/ipv4.ts';
import { isRecord } from '../core/protocol/json.ts';
import { checkTestModes, type PortalTestModes } from './test-modes.ts';

/** Where clients find the VPN server: one `remote` line of a client config. */
export interface PortalRemote {
  /** Name or address. */
  readonly host: string;
  /** 1–65535 */
  readonly port: number;
  readonly protocol: 'udp' | 'tcp';
}

/**
 * Everything that the portal process needs, without secrets: those are files beside it. Written by `v6 portal start` as
 * `portal.json` in the data folder; the process reads nothing else.
 */
export interface EmbeddedPortalSettings {
  readonly version: 1;
  /** Root as clients reach it, e.g. `http://10.203.0.2:8080`, without a final slash. */
  readonly url: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly dataDir: string;
  readonly runDir: string;
  /** Range of tunnel addresses; `.1` is the VPN server. */
  readonly subnet: Cidr;
  readonly profile: { readonly id: string; readonly displayName: string };
  /** In the order of the client config, udp before tcp. */
  readonly remotes: readonly PortalRemote[];
  /** Life of an authorization and of its certificate. */
  readonly sessionExpirySeconds: number;
  readonly accessTokenSeconds: number;
  readonly account: { readonly user: string };
  readonly client: {
    readonly id: string;
    /** A public client has no secret (RFC 6749, 2.1). */
    readonly isPublic: boolean;
    readonly redirectUris: readonly string[];
  };
  /** Port and protocol that openvpn itself listens on, inside its container. */
  readonly vpn: { readonly port: number; readonly protocol: 'udp' | 'tcp' };
  /** How the containers were placed: for the next start, which keeps what its flags leave out. */
  readonly placement?: PortalPlacement;
  /** Ways of other portals, for tests. */
  readonly testModes?: PortalTestModes;
}

/** The network of the two containers, and what of them the host publishes. */
export interface PortalPlacement {
  readonly network: string;
  /** True when the network was made for this portal and goes with it. */
  readonly isOwnNetwork: boolean;
  readonly portalAddress: Ipv4;
  readonly vpnServerAddress: Ipv4;
  readonly publish?: PortalPublish | undefined;
}

/** Ports of the host that lead to the two containers. */
export interface PortalPublish {
  /** Address of the host. */
  readonly address: string;
  readonly http?: number | undefined;
  readonly vpn?: number | undefined;
}

/** 90 days, as eduVPN's `sessionExpiry` has it by default. */
export const DEFAULT_SESSION_SECONDS = 90 * 24 * 3600;
/** Access tokens live an hour (eduVPN `Api.tokenExpiry`). */
export const DEFAULT_ACCESS_TOKEN_SECONDS = 3600;
/** The first position in the subnet that a node can get; those before it are kept for the VPN server and what comes later. */
export const FIRST_NODE_OFFSET = 10;

/** Files of the portal, from its two folders. */
export function portalPaths(folders: { readonly dataDir: string; readonly runDir: string }) {
  const vpnServer = path.join(folders.dataDir, 'vpn-server');
  return {
    settings: path.join(folders.dataDir, 'portal.json'),
    database: path.join(folders.dataDir, 'portal.sqlite'),
    passwordFile: path.join(folders.dataDir, 'secrets', 'account-password'),
    clientSecretFile: path.join(folders.dataDir, 'secrets', 'client-secret'),
    authorityCertificate: path.join(folders.dataDir, 'ca', 'ca.crt'),
    authorityKey: path.join(folders.dataDir, 'ca', 'ca.key'),
    /** All that the VPN server's container sees, read-only. */
    vpnServer,
    serverAuthority: path.join(vpnServer, 'ca.crt'),
    serverCertificate: path.join(vpnServer, 'server.crt'),
    serverKey: path.join(vpnServer, 'server.key'),
    staticKey: path.join(vpnServer, 'tls-crypt.key'),
    clientConfigs: path.join(vpnServer, 'ccd'),
    adminSocket: path.join(folders.runDir, 'admin.sock'),
    /** Shared by the two containers. */
    vpnRun: path.join(folders.runDir, 'vpn'),
  } as const;
}

export type PortalPaths = ReturnType<typeof portalPaths>;

/** Offsets of the addresses that nodes can get: from .10 to the last one before the broadcast address. */
export function nodeOffsets(subnet: Cidr): { readonly first: number; readonly last: number } {
  const { start, end } = rangeOf(subnet);
  return { first: FIRST_NODE_OFFSET, last: end - start - 1 };
}

/** The range of tunnel addresses: a private network between /8 and /28. Throws V6_CONFIG_SUBNET. */
export function parseVpnSubnet(text: string): Cidr {
  const subnet = parseCidr(text, 'subnet');
  const { prefix } = rangeOf(subnet);
  if (prefix < 8 || prefix > 28) {
    throw new V6Error('V6_CONFIG_SUBNET', `subnet cannot hold the VPN: ${text} is a /${prefix}`, {
      hints: ['Give a network between /8 and /28, for example 10.76.0.0/16.'],
    });
  }
  return subnet;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `90d`, `12h`, `30m`, `45s` as seconds, at least 1. Throws V6_USAGE naming `what`. */
export function parseDurationSeconds(text: string, what: string): number {
  const match = /^([1-9]\d{0,8})([smhd])$/.exec(text);
  const unit = UNIT_SECONDS[match?.[2] ?? ''];
  if (!match || unit === undefined) {
    throw new V6Error('V6_USAGE', `${what} is not a length of time: ${JSON.stringify(text)}`, {
      hints: ['Give a number and a unit: 90d, 12h or 30m.'],
    });
  }
  return Number(match[1]) * unit;
}

/** `vpn.example.org:1194/udp`; the protocol may be left out (udp). Throws V6_USAGE. */
export function parseRemote(text: string): PortalRemote {
  const match = /^([A-Za-z0-9.-]+):(\d{1,5})(?:\/(udp|tcp))?$/.exec(text);
  const port = Number(match?.[2]);
  if (!match || port < 1 || port > 65_535) {
    throw new V6Error('V6_USAGE', `remote is not HOST:PORT/PROTOCOL: ${JSON.stringify(text)}`, {
      hints: ['For example --remote vpn.example.org:1194/udp.'],
    });
  }
  return { host: match[1] ?? '', port, protocol: match[3] === 'tcp' ? 'tcp' : 'udp' };
}

/** A root URL without path, query or account. Throws V6_USAGE. */
export function parsePortalUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    !['http:', 'https:'].includes(url.protocol) ||
    (url.pathname !== '/' && url.pathname !== '') ||
    url.search !== '' ||
    url.hash !== '' ||
    url.username !== ''
  ) {
    throw new V6Error('V6_USAGE', `url is not the root of a host: ${JSON.stringify(text)}`, {
      hints: [
        'Give scheme, host and port only, for example --url https://vpn.example.org; the portal adds its paths.',
      ],
    });
  }
  return url.origin;
}

/** Text of `portal.json`. */
export function renderSettings(settings: EmbeddedPortalSettings): string {
  return `${JSON.stringify(settings, null, 2)}\n`;
}

/** What renderSettings wrote. Throws V6_CONFIG_SYNTAX, V6_CONFIG_INVALID. */
export function parseSettings(text: string, file: string): EmbeddedPortalSettings {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new V6Error('V6_CONFIG_SYNTAX', `${file} is not JSON`, {
      cause,
      hints: ['Write it again: v6 portal start'],
    });
  }
  const settings = isRecord(value) ? (value as Partial<EmbeddedPortalSettings>) : {};
  if (settings.version !== 1 || !isComplete(settings)) {
    throw new V6Error('V6_CONFIG_INVALID', `${file} is not what this version of v6 writes`, {
      hints: ['Write it again: v6 portal start'],
    });
  }
  parseVpnSubnet(settings.subnet);
  checkTestModes(settings.testModes);
  return settings;
}

function isComplete(settings: Partial<EmbeddedPortalSettings>): settings is EmbeddedPortalSettings {
  const texts = [settings.url, settings.dataDir, settings.runDir, settings.subnet];
  const numbers = [settings.sessionExpirySeconds, settings.accessTokenSeconds];
  return (
    texts.every((item) => typeof item === 'string') &&
    numbers.every((item) => typeof item === 'number' && item > 0) &&
    Array.isArray(settings.remotes) &&
    settings.remotes.length > 0 &&
    typeof settings.listen?.port === 'number' &&
    typeof settings.profile?.id === 'string' &&
    typeof settings.account?.user === 'string' &&
    typeof settings.client?.id === 'string' &&
    typeof settings.vpn?.port === 'number'
  );
}

/** Socket of the process that serves this context. */
export function adminSocketOf(context: Pick<Context, 'dataDir' | 'runDir'>): string {
  return portalPaths(context).adminSocket;
}
