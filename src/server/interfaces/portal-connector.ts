/**
 * An eduVPN portal (API v3 or v2), or the one that we ship: the connector cannot tell them apart.
 * Every method throws V6_PORTAL_UNREACHABLE, V6_PORTAL_TLS or V6_PORTAL_ANSWER beside the codes named here; all calls have time-outs.
 */
export interface PortalConnector {
  /** Which API it speaks, from its discovery document. */
  api(signal?: AbortSignal): Promise<'v2' | 'v3'>;
  /** Login form, authorize with PKCE, token. Codes: V6_PORTAL_ACCOUNT, _CLIENT, _REDIRECT, _APPROVAL. */
  authorize(signal?: AbortSignal): Promise<PortalTokens>;
  /** A new pair of tokens; the old refresh token is used up. Code: V6_PORTAL_TOKEN. */
  refresh(tokens: PortalTokens, signal?: AbortSignal): Promise<PortalTokens>;
  /** `GET /info`: the profile to use. Changes nothing at the portal. Codes: V6_PORTAL_NO_PROFILE, _SEVERAL_PROFILES, _TOKEN. */
  findProfile(tokens: PortalTokens, signal?: AbortSignal): Promise<PortalProfile>;
  /**
   * `POST /connect`: ends what the same authorization held before and issues a new client config. Never call it to look.
   * Codes: V6_PORTAL_TOKEN, _NO_PROFILE, _QUOTA, _NOT_OPENVPN.
   */
  connect(
    tokens: PortalTokens,
    input: { readonly profile: string; readonly node: string },
    signal?: AbortSignal,
  ): Promise<IssuedConfig>;
  /**
   * How many configurations the account may hold at once: what is configured, else what our own portal says of itself, else
   * eduVPN's default of three. A portal at its limit ends somebody's configuration without a word, so it must not be reached
   * by one more. Undefined: there is no limit.
   */
  limit(signal?: AbortSignal): Promise<number | undefined>;
  /** `POST /disconnect`: gives back what this authorization holds. Nothing held, or token no longer known: fine. */
  disconnect(tokens: PortalTokens, signal?: AbortSignal): Promise<void>;
}

export interface PortalTokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  /** End of the access token. */
  readonly accessExpiresAt: Date;
}

export interface PortalProfile {
  readonly id: string;
  readonly displayName: string;
}

export interface IssuedConfig {
  /** A complete .ovpn file with LF line ends. */
  readonly text: string;
  /** End of the certificate and of the authorization, from the `Expires` header. */
  readonly expiresAt: Date | undefined;
}
