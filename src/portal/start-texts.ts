import type { Context } from '../core/context.ts';
import { parseIpv4 } from '../core/net/ipv4.ts';
import { parseDurationSeconds, parseRemote } from './settings.ts';
import type { StartPortalOptions } from './start-options.ts';

/** The flags of `v6 portal start` as they were typed, secrets already read from their files. */
export interface StartTexts {
  readonly subnet?: string | undefined;
  readonly network?: string | undefined;
  readonly 'portal-address'?: string | undefined;
  readonly 'vpn-server-address'?: string | undefined;
  readonly 'http-port'?: number | undefined;
  readonly 'vpn-port'?: number | undefined;
  readonly 'publish-address'?: string | undefined;
  readonly url?: string | undefined;
  readonly remote?: readonly string[] | undefined;
  readonly 'portal-username'?: string | undefined;
  readonly 'client-id'?: string | undefined;
  readonly 'public-client'?: boolean | undefined;
  readonly 'redirect-url'?: readonly string[] | undefined;
  readonly 'session-expiry'?: string | undefined;
}

export interface StartSecrets {
  readonly password: string | undefined;
  readonly clientSecret: string | undefined;
}

/** Options out of typed texts. Throws V6_USAGE, V6_CONFIG_SUBNET. */
export function optionsFromTexts(
  context: Context,
  texts: StartTexts,
  secrets: StartSecrets,
): StartPortalOptions {
  const expiry = texts['session-expiry'];
  return {
    context,
    subnet: texts.subnet,
    uplink: uplinkOf(texts),
    publish: publishOf(texts),
    url: texts.url,
    remotes: texts.remote?.map(parseRemote),
    username: texts['portal-username'],
    password: secrets.password,
    client: {
      id: texts['client-id'],
      isPublic: texts['public-client'],
      redirectUris: texts['redirect-url'],
      secret: secrets.clientSecret,
    },
    sessionExpirySeconds:
      expiry === undefined ? undefined : parseDurationSeconds(expiry, 'session-expiry'),
  };
}

function uplinkOf(texts: StartTexts): StartPortalOptions['uplink'] {
  if (texts.network === undefined) return undefined;
  const address = (name: 'portal-address' | 'vpn-server-address') => {
    const text = texts[name];
    return text === undefined ? undefined : parseIpv4(text, name);
  };
  return {
    network: texts.network,
    portalAddress: address('portal-address'),
    vpnServerAddress: address('vpn-server-address'),
  };
}

function publishOf(texts: StartTexts): StartPortalOptions['publish'] {
  const http = texts['http-port'];
  const vpn = texts['vpn-port'];
  if (http === undefined && vpn === undefined) return undefined;
  const address = parseIpv4(texts['publish-address'] ?? '127.0.0.1', 'publish-address');
  return { address, http, vpn };
}
