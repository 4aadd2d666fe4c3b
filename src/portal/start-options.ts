import type { Context } from '../core/context.ts';
import { V6Error } from '../core/errors.ts';
import type { Cidr, Ipv4 } from '../core/net/ipv4.ts';
import {
  DEFAULT_ACCESS_TOKEN_SECONDS,
  DEFAULT_SESSION_SECONDS,
  type EmbeddedPortalSettings,
  type PortalPlacement,
  type PortalPublish,
  type PortalRemote,
  parsePortalUrl,
  parseVpnSubnet,
} from './settings.ts';
import { checkTestModes, type PortalTestModes } from './test-modes.ts';

/** What `v6 portal start` can be told. What is left out stays as it was at the last start, or gets its default. */
export interface StartPortalOptions {
  readonly context: Context;
  /** Range of tunnel addresses in CIDR form; default 10.76.0.0/16. */
  readonly subnet?: string | undefined;
  /** An existing network to join; default: one of our own. Addresses that are left out are chosen. */
  readonly uplink?:
    | {
        readonly network: string;
        readonly portalAddress?: Ipv4 | undefined;
        readonly vpnServerAddress?: Ipv4 | undefined;
      }
    | undefined;
  readonly publish?: PortalPublish | undefined;
  /** Root that clients see; default: the portal's address in its network, or the published port. */
  readonly url?: string | undefined;
  /** Default: the VPN server's address in its network. */
  readonly remotes?: readonly PortalRemote[] | undefined;
  /** Name of the account. */
  readonly username?: string | undefined;
  /** Of the account; random when it is the first start. */
  readonly password?: string | undefined;
  readonly client?:
    | {
        readonly id?: string | undefined;
        /** Random when it is the first start; ignored for a public client. */
        readonly secret?: string | undefined;
        readonly isPublic?: boolean | undefined;
        readonly redirectUris?: readonly string[] | undefined;
      }
    | undefined;
  readonly sessionExpirySeconds?: number | undefined;
  /** Ways of other portals, for tests; no flag leads here. */
  readonly testModes?: PortalTestModes | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** vantage6's example configuration has this one. */
const DEFAULT_REDIRECT = 'http://localhost';
/** Inside the portal's container. */
export const PORTAL_PORT = 8080;
/** OpenVPN's registered port (IANA). */
export const VPN_PORT = 1194;
export const DEFAULT_VPN_SUBNET = '10.76.0.0/16';

/** The subnet that this start asks for. Throws V6_CONFIG_SUBNET. */
export function wantedSubnet(
  options: Pick<StartPortalOptions, 'subnet'>,
  before: EmbeddedPortalSettings | undefined,
): Cidr {
  return parseVpnSubnet(options.subnet ?? before?.subnet ?? DEFAULT_VPN_SUBNET);
}

/** Settings out of options, what was before, and defaults, in this order. Throws V6_USAGE, V6_CONFIG_SUBNET, V6_CONFIG_INVALID. */
export function planSettings(
  options: StartPortalOptions,
  before: EmbeddedPortalSettings | undefined,
  placement: PortalPlacement,
): EmbeddedPortalSettings {
  const { context, client } = options;
  const url = planUrl(options, before, placement);
  const remotes = planRemotes(options, before, placement, url);
  const testModes = checkTestModes(options.testModes ?? before?.testModes);
  return {
    version: 1,
    url,
    listen: { host: '0.0.0.0', port: PORTAL_PORT },
    dataDir: context.dataDir,
    runDir: context.runDir,
    subnet: wantedSubnet(options, before),
    profile: before?.profile ?? { id: 'default', displayName: 'Default' },
    remotes,
    sessionExpirySeconds:
      options.sessionExpirySeconds ?? before?.sessionExpirySeconds ?? DEFAULT_SESSION_SECONDS,
    accessTokenSeconds: before?.accessTokenSeconds ?? DEFAULT_ACCESS_TOKEN_SECONDS,
    account: { user: parseUser(options.username ?? before?.account.user ?? 'nodes') },
    client: {
      id: parseClientId(client?.id ?? before?.client.id ?? 'v6-server'),
      isPublic: client?.isPublic ?? before?.client.isPublic ?? false,
      redirectUris: (client?.redirectUris ?? before?.client.redirectUris ?? [DEFAULT_REDIRECT]).map(
        parseRedirectUri,
      ),
    },
    vpn: {
      port: VPN_PORT,
      protocol: testModes?.hasTwoSlices ? 'udp' : protocolOf(remotes),
    },
    placement,
    ...(testModes === undefined ? {} : { testModes }),
  };
}

/** What is left out stays; a default follows the addresses, so it is made anew when those moved. */
function planUrl(
  options: StartPortalOptions,
  before: EmbeddedPortalSettings | undefined,
  placement: PortalPlacement,
): string {
  if (options.url !== undefined) return parsePortalUrl(options.url);
  if (before?.placement && before.url !== defaultUrl(before.placement)) return before.url;
  return defaultUrl(placement);
}

function defaultUrl({ publish, portalAddress }: PortalPlacement): string {
  if (publish?.http === undefined) return `http://${portalAddress}:${PORTAL_PORT}`;
  const host = publish.address === '0.0.0.0' ? '127.0.0.1' : publish.address;
  return `http://${host}:${publish.http}`;
}

function planRemotes(
  options: StartPortalOptions,
  before: EmbeddedPortalSettings | undefined,
  placement: PortalPlacement,
  url: string,
): readonly PortalRemote[] {
  if (options.remotes !== undefined && options.remotes.length > 0) return options.remotes;
  const previous = before?.placement && defaultRemotes(before.placement, before.url);
  const isChosen = previous && JSON.stringify(before.remotes) !== JSON.stringify(previous);
  return isChosen ? before.remotes : defaultRemotes(placement, url);
}

function defaultRemotes(placement: PortalPlacement, url: string): readonly PortalRemote[] {
  const { publish, vpnServerAddress } = placement;
  const { hostname } = new URL(url);
  // A published port on a name that is not this machine alone is meant for nodes elsewhere.
  const isOutside = publish?.vpn !== undefined && !/^(127\.|localhost$|\[::1\]$)/.test(hostname);
  return isOutside
    ? [{ host: hostname, port: publish.vpn ?? VPN_PORT, protocol: 'udp' }]
    : [{ host: vpnServerAddress, port: VPN_PORT, protocol: 'udp' }];
}

function protocolOf(remotes: readonly PortalRemote[]): 'udp' | 'tcp' {
  const [first = 'udp', ...others] = new Set(remotes.map(({ protocol }) => protocol));
  if (others.length === 0) return first;
  throw new V6Error(
    'V6_CONFIG_INVALID',
    'remotes mix udp and tcp, but the VPN server listens on one of them',
    { hints: ['Give all remotes the same protocol; udp is faster, tcp passes more firewalls.'] },
  );
}

function parseUser(text: string): string {
  if (/^[^\p{C}]{1,255}$/u.test(text)) return text;
  throw new V6Error('V6_USAGE', `user is not a name for an account: ${JSON.stringify(text)}`, {
    hints: ['Give 1 to 255 characters.'],
  });
}

function parseClientId(text: string): string {
  // RFC 6749, appendix A.1; no colon, which parts it from its secret in a Basic header.
  if (/^[\x20-\x39\x3b-\x7e]{1,255}$/.test(text)) return text;
  throw new V6Error('V6_USAGE', `client-id is not one: ${JSON.stringify(text)}`, {
    hints: ['Give 1 to 255 ASCII characters without a colon, for example v6-server.'],
  });
}

function parseRedirectUri(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.hash === '') return text;
  throw new V6Error('V6_USAGE', `redirect-url is not a URL: ${JSON.stringify(text)}`, {
    hints: ['Give the redirect_url of the server word for word, for example http://localhost.'],
  });
}
