/**
 * What the portal remembers. The database is a file of the portal process alone, so these calls are synchronous and each
 * is one transaction: what they acknowledge is on disk. Tokens and session ids come in as SHA-256 hashes, never in clear.
 * All methods throw V6_DATABASE.
 */
export interface AccountStore {
  /** PHC string of the account, or undefined. */
  findPasswordHash(user: string): string | undefined;
  /** Makes this the only account. */
  setAccount(user: string, passwordHash: string): void;
  /** A browser session: who is logged in, if it is known and not over. */
  findSession(idHash: string, now: Date): string | undefined;
  addSession(idHash: string, user: string, expiresAt: Date): void;
  /** Absent is fine. */
  removeSession(idHash: string): void;
}

export interface Authorization {
  readonly id: string;
  readonly clientId: string;
  readonly user: string;
  readonly createdAt: Date;
  /** Fixed when the user authorizes; neither connecting nor refreshing extends it. */
  readonly expiresAt: Date;
}

export interface AuthorizationCode {
  readonly hash: string;
  readonly authorizationId: string;
  readonly clientId: string;
  readonly redirectUri: string;
  /** base64url of the SHA-256 of the verifier (RFC 7636, 4.2). */
  readonly challenge: string;
  readonly expiresAt: Date;
}

export interface StoredToken {
  readonly kind: 'access' | 'refresh';
  readonly authorizationId: string;
  readonly expiresAt: Date;
  readonly usedBefore: boolean;
}

export interface NewToken {
  readonly hash: string;
  readonly kind: 'access' | 'refresh';
  readonly expiresAt: Date;
}

export interface AuthorizationStore {
  /** Stores the authorization together with the code that leads to it. */
  addAuthorization(authorization: Authorization, code: AuthorizationCode): void;
  findAuthorization(id: string): Authorization | undefined;
  findCode(hash: string): (AuthorizationCode & { readonly usedBefore: boolean }) | undefined;
  /** Marks a code or a refresh token as used. False when it was used before (or is gone): the caller lost the race. */
  useCode(hash: string): boolean;
  useRefreshToken(hash: string): boolean;
  addTokens(authorizationId: string, tokens: readonly NewToken[]): void;
  findToken(hash: string): StoredToken | undefined;
  /** With its codes and tokens. Certificates are the lease store's. Absent is fine. */
  removeAuthorization(id: string): void;
}

export interface Lease {
  /** The node that owns the address, or a name made up for an authorization that named none. */
  readonly owner: string;
  /** True when no node was named: the lease ends with its certificate. */
  readonly anonymous: boolean;
  /** Position of the tunnel address in the subnet. */
  readonly offset: number;
  readonly certificate: IssuedCertificate | undefined;
}

export interface IssuedCertificate {
  readonly commonName: string;
  readonly authorizationId: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

/** What a change ended: the common names that must no longer get in. */
export interface Ended {
  readonly owner: string;
  readonly commonName: string;
}

export interface LeaseStore {
  /** The owner's address: the one it has, else the lowest free one of the range. `full` when none is free. */
  reserve(input: {
    readonly owner: string;
    readonly anonymous: boolean;
    readonly first: number;
    readonly last: number;
  }): number | 'full';
  /** Makes this the owner's only certificate; certificates of the same authorization end as well. */
  certify(owner: string, certificate: IssuedCertificate): readonly Ended[];
  list(): readonly Lease[];
  endAuthorization(authorizationId: string): readonly Ended[];
  /** Ends the node's certificate; its address stays. Undefined when no such node is known. */
  endOwner(owner: string): readonly Ended[] | undefined;
  /** Forgets the node with its address. */
  removeOwner(owner: string): void;
  /** Removes what is over at `now`: certificates, authorizations, codes, tokens, browser sessions. */
  purge(now: Date): readonly Ended[];
}

export type PortalStore = AccountStore & AuthorizationStore & LeaseStore & { close(): void };
