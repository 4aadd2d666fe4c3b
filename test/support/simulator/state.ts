import { createHash, randomBytes } from 'node:crypto';

/** A client that a portal knows. */
export interface SimulatedClient {
  readonly id: string;
  /** None: a public client. */
  readonly secret?: string;
  readonly redirectUris: readonly string[];
  readonly requiresApproval?: boolean;
}

/** A profile; those behind an ACL that the account lacks are left out of lists. */
export interface SimulatedProfile {
  readonly id: string;
  readonly displayName: string;
  readonly protocols: readonly ('openvpn' | 'wireguard')[];
  readonly prefersWireGuard?: boolean;
  readonly isHidden?: boolean;
}

/** What an administrator of the portal can set; may be changed while it runs. */
export interface PortalConfiguration {
  clients: readonly SimulatedClient[];
  profiles: readonly SimulatedProfile[];
  /** `Api.maxActiveConfigurations`; eduVPN's default is 3. */
  maxActiveConfigurations: number;
  sessionSeconds: number;
  tokenSeconds: number;
  deleteAuthorizationOnDisconnect: boolean;
  /** False: `/connect` fails with 500, after it has taken the caller's configuration away. */
  isNodeUp: boolean;
  /** The portal's clock minus ours, in ms. */
  skewMs: number;
}

export interface Session {
  user: string | undefined;
  /** Requests since the login: a disabled account is noticed from the second on (portal 3.4.1). */
  requests: number;
}

export interface Authorization {
  readonly id: number;
  readonly clientId: string;
  readonly expiresAt: Date;
}

interface Code {
  readonly authorization: Authorization;
  readonly redirectUri: string;
  readonly challenge: string;
  isUsed: boolean;
}

interface Token {
  readonly kind: 'access_token' | 'refresh_token';
  readonly authorization: Authorization;
  readonly expiresAt: Date;
  isUsed: boolean;
}

/** One that counts: unexpired, connected or not. */
export interface Configuration {
  readonly commonName: string;
  readonly authorization: number;
  /** Of the field `v6_node`, which a real portal ignores; for the test only. */
  readonly node: string | undefined;
  readonly order: number;
  readonly expiresAt: Date;
}

/** A configuration that the portal ended to make room for another authorization: what must never happen. */
export interface Eviction {
  readonly lost: Configuration;
  readonly by: number;
}

export const hex = (bytes: number): string => randomBytes(bytes).toString('hex');

/** What a portal remembers. */
export class PortalState {
  readonly configuration: PortalConfiguration;
  readonly sessions = new Map<string, Session>();
  readonly authorizations = new Map<number, Authorization>();
  readonly codes = new Map<string, Code>();
  readonly tokens = new Map<string, Token>();
  readonly evictions: Eviction[] = [];
  configurations: readonly Configuration[] = [];
  disabled: 'no' | 'from the second request' | 'at once' = 'no';
  #counter = 0;

  constructor(configuration: PortalConfiguration) {
    this.configuration = configuration;
  }

  now(): Date {
    return new Date(Date.now() + this.configuration.skewMs);
  }

  client(id: string): SimulatedClient | undefined {
    return this.configuration.clients.find((client) => client.id === id);
  }

  profile(id: string): SimulatedProfile | undefined {
    return this.configuration.profiles.find((profile) => profile.id === id && !profile.isHidden);
  }

  grant(input: { clientId: string; redirectUri: string; challenge: string }): string {
    this.#counter += 1;
    const seconds = this.configuration.sessionSeconds;
    const authorization: Authorization = {
      id: this.#counter,
      clientId: input.clientId,
      // To the second, as the portal's comments and certificates have it.
      expiresAt: new Date((Math.floor(this.now().getTime() / 1000) + seconds) * 1000),
    };
    this.authorizations.set(authorization.id, authorization);
    const code = `code.${hex(16)}`;
    const { redirectUri, challenge } = input;
    this.codes.set(code, { authorization, redirectUri, challenge, isUsed: false });
    return code;
  }

  /** An access token never outlives its authorization. */
  issue(authorization: Authorization, kind: Token['kind']): { text: string; seconds: number } {
    const left = Math.round((authorization.expiresAt.getTime() - this.now().getTime()) / 1000);
    const seconds =
      kind === 'access_token' ? Math.min(this.configuration.tokenSeconds, left) : left;
    const text = `${kind}.${hex(24)}`;
    const expiresAt = new Date(this.now().getTime() + seconds * 1000);
    this.tokens.set(text, { kind, authorization, expiresAt, isUsed: false });
    return { text, seconds };
  }

  isAlive({ id, expiresAt }: Authorization): boolean {
    return this.authorizations.has(id) && expiresAt > this.now();
  }

  /** As when the user revokes the application: tokens and configurations go at once. */
  endAuthorization(id: number): void {
    this.authorizations.delete(id);
    this.endConfigurations(id);
  }

  endConfigurations(authorization: number): void {
    this.configurations = this.configurations.filter(
      (held) => held.authorization !== authorization,
    );
  }

  /** Unexpired ones, the oldest first. */
  counting(): readonly Configuration[] {
    const now = this.now();
    return this.configurations
      .filter(({ expiresAt }) => expiresAt > now)
      .toSorted((a, b) => a.order - b.order);
  }

  /** What eduVPN does before it even looks at the profile: own configurations go, and at the maximum the oldest one does. */
  makeRoom(authorization: Authorization): void {
    this.endConfigurations(authorization.id);
    const counting = this.counting();
    const [oldest] = counting;
    if (oldest === undefined || counting.length < this.configuration.maxActiveConfigurations)
      return;
    this.evictions.push({ lost: oldest, by: authorization.id });
    this.configurations = this.configurations.filter((held) => held !== oldest);
  }

  add(authorization: Authorization, commonName: string, node: string | undefined): void {
    this.#counter += 1;
    const { id, expiresAt } = authorization;
    const added = { commonName, authorization: id, node, order: this.#counter, expiresAt };
    this.configurations = [...this.configurations, added];
  }
}

/** S256 of RFC 7636. */
export const challengeOf = (verifier: string): string =>
  createHash('sha256').update(verifier).digest('base64url');
