import { createHash } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import type { Authorization, AuthorizationStore } from './interfaces/store.ts';
import { hashToken, isSameSecret, randomHex, randomToken } from './secrets.ts';
import type { EmbeddedPortalSettings } from './settings.ts';

/** An authorization code lives five minutes (eduVPN portal 3.4.1). */
const CODE_MS = 5 * 60_000;

/** A refusal by the rules of OAuth 2 (RFC 6749, 5.2; RFC 6750, 3.1): a status, an error word, a sentence. */
export interface Refusal {
  readonly status: 400 | 401;
  readonly error: string;
  readonly description: string;
}

export type Outcome<T> =
  | ({ readonly ok: true } & T)
  | { readonly ok: false; readonly refusal: Refusal };

export interface IssuedTokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly expiresInSeconds: number;
}

export interface TokenRequest {
  /** Form fields of the request. */
  readonly form: ReadonlyMap<string, string>;
  /** Name and password of a Basic header. */
  readonly basic: { readonly user: string; readonly password: string } | undefined;
}

export interface AuthorizationDeps {
  readonly store: AuthorizationStore;
  readonly clock: Pick<Clock, 'now'>;
  readonly settings: Pick<
    EmbeddedPortalSettings,
    'client' | 'sessionExpirySeconds' | 'accessTokenSeconds'
  >;
  /** Undefined for a public client. */
  readonly clientSecret: string | undefined;
  /** No certificate outlives its authority, so no authorization does. */
  readonly authorityEndsAt: Date;
  /** Ends certificates and live sessions of an authorization. */
  readonly onEnd: (authorizationId: string) => Promise<void>;
}

/** Codes, tokens and what they stand for. */
export class Authorizations {
  readonly #deps: AuthorizationDeps;

  constructor(deps: AuthorizationDeps) {
    this.#deps = deps;
  }

  /** A code for a logged-in user. Its authorization's end is fixed here; only another login moves it. */
  grantCode(input: {
    readonly user: string;
    readonly redirectUri: string;
    readonly challenge: string;
  }): string {
    const { settings, store, clock, authorityEndsAt } = this.#deps;
    const now = clock.now();
    const wanted = now.getTime() + settings.sessionExpirySeconds * 1000;
    const id = randomHex(16);
    const code = randomToken();
    store.addAuthorization(
      {
        id,
        clientId: settings.client.id,
        user: input.user,
        createdAt: now,
        // Certificates and HTTP dates have whole seconds.
        expiresAt: new Date(Math.floor(Math.min(wanted, authorityEndsAt.getTime()) / 1000) * 1000),
      },
      {
        hash: hashToken(code),
        authorizationId: id,
        clientId: settings.client.id,
        redirectUri: input.redirectUri,
        challenge: input.challenge,
        expiresAt: new Date(now.getTime() + CODE_MS),
      },
    );
    return code;
  }

  /** The token endpoint: an authorization code or a refresh token for a new pair. */
  async issue(request: TokenRequest): Promise<Outcome<{ readonly tokens: IssuedTokens }>> {
    const grantType = request.form.get('grant_type');
    if (grantType === undefined) return missing('grant_type');
    if (grantType !== 'authorization_code' && grantType !== 'refresh_token') {
      return refuse(400, 'invalid_request', 'invalid "grant_type"');
    }
    const client = this.#checkClient(request, grantType === 'refresh_token');
    if (!client.ok) return client;
    return grantType === 'authorization_code'
      ? this.#redeemCode(request.form)
      : this.#rotate(request.form);
  }

  /** Who a bearer token speaks for. */
  checkBearer(header: string | undefined): Outcome<{ readonly authorization: Authorization }> {
    if (header === undefined) return refuse(401, 'invalid_token', 'missing Bearer token');
    const token = /^Bearer ([A-Za-z0-9._~+/-]+=*)$/i.exec(header)?.[1];
    if (token === undefined) return refuse(401, 'invalid_token', 'invalid Bearer token');
    const stored = this.#deps.store.findToken(hashToken(token));
    const authorization = stored && this.#deps.store.findAuthorization(stored.authorizationId);
    if (stored === undefined || authorization === undefined) {
      return refuse(401, 'invalid_token', '"access_token" is not known or no longer authorized');
    }
    if (stored.kind !== 'access') {
      return refuse(401, 'invalid_token', 'expected "access_token", got "refresh_token"');
    }
    const now = this.#deps.clock.now();
    if (stored.expiresAt <= now || authorization.expiresAt <= now) {
      return refuse(401, 'invalid_token', '"access_token" expired');
    }
    if (authorization.clientId !== this.#deps.settings.client.id) {
      return refuse(
        401,
        'invalid_token',
        `client "${authorization.clientId}" no longer registered`,
      );
    }
    return { ok: true, authorization };
  }

  /**
   * The client may show its secret by Basic or in the form, and its id in either (eduvpn 6.0.1 wants Basic and the id in the
   * form; vantage6 4.6 and later send the secret in the form). A secret of a public client is ignored.
   */
  #checkClient({ form, basic }: TokenRequest, isRefresh: boolean): Outcome<object> {
    const { client } = this.#deps.settings;
    const { clientSecret } = this.#deps;
    const id = form.get('client_id') ?? basic?.user;
    const needsId = clientSecret !== undefined || !isRefresh;
    if (id === undefined && needsId) {
      return isRefresh ? invalidClient('no authenticating user') : missing('client_id');
    }
    if (id !== undefined && id !== client.id) {
      return refuse(401, 'invalid_client', 'client does not exist with this "client_id"');
    }
    if (basic && basic.user !== client.id) {
      return refuse(401, 'invalid_client', '"client_id" does not match authenticating user');
    }
    if (clientSecret === undefined) return { ok: true };
    const given = basic?.password ?? form.get('client_secret');
    if (given === undefined) return invalidClient('no authenticating user');
    return isSameSecret(given, clientSecret)
      ? { ok: true }
      : invalidClient('invalid authenticating pass');
  }

  async #redeemCode(
    form: ReadonlyMap<string, string>,
  ): Promise<Outcome<{ readonly tokens: IssuedTokens }>> {
    for (const name of ['code', 'redirect_uri', 'code_verifier']) {
      if (form.get(name) === undefined) return missing(name);
    }
    const verifier = form.get('code_verifier') ?? '';
    if (!/^[A-Za-z0-9._~-]{43,128}$/.test(verifier)) {
      return refuse(400, 'invalid_request', 'invalid "code_verifier"');
    }
    const hash = hashToken(form.get('code') ?? '');
    const code = this.#deps.store.findCode(hash);
    if (code === undefined) return invalidGrant('"authorization_code" is not known');
    if (code.usedBefore || !this.#deps.store.useCode(hash)) {
      // Whoever comes second may be the thief, or the first one was: nobody keeps it (RFC 6749, 4.1.2).
      await this.end(code.authorizationId);
      return invalidGrant('"authorization_code" was used before');
    }
    if (code.expiresAt <= this.#deps.clock.now()) {
      return invalidGrant('"authorization_code" expired');
    }
    if (form.get('redirect_uri') !== code.redirectUri) {
      return refuse(400, 'invalid_request', 'unexpected "redirect_uri"');
    }
    const challenge = createHash('sha256').update(verifier).digest('base64url');
    if (!isSameSecret(challenge, code.challenge)) return invalidGrant('invalid "code_verifier"');
    return this.#newTokens(code.authorizationId);
  }

  async #rotate(
    form: ReadonlyMap<string, string>,
  ): Promise<Outcome<{ readonly tokens: IssuedTokens }>> {
    const token = form.get('refresh_token');
    if (token === undefined) return missing('refresh_token');
    const hash = hashToken(token);
    const stored = this.#deps.store.findToken(hash);
    if (stored === undefined) {
      return invalidGrant('"refresh_token" is not known or no longer authorized');
    }
    if (stored.kind !== 'refresh') {
      return invalidGrant('expected "refresh_token", got "access_token"');
    }
    if (stored.usedBefore || !this.#deps.store.useRefreshToken(hash)) {
      await this.end(stored.authorizationId);
      return invalidGrant('"refresh_token" was used before');
    }
    return this.#newTokens(stored.authorizationId);
  }

  #newTokens(authorizationId: string): Outcome<{ readonly tokens: IssuedTokens }> {
    const { store, clock, settings } = this.#deps;
    const now = clock.now().getTime();
    const authorization = store.findAuthorization(authorizationId);
    const secondsLeft = authorization
      ? Math.floor((authorization.expiresAt.getTime() - now) / 1000)
      : 0;
    if (authorization === undefined || secondsLeft <= 0) {
      return invalidGrant('the authorization has ended');
    }
    // An access token never outlives its authorization.
    const expiresInSeconds = Math.min(settings.accessTokenSeconds, secondsLeft);
    const accessToken = randomToken();
    const refreshToken = randomToken();
    store.addTokens(authorizationId, [
      {
        hash: hashToken(accessToken),
        kind: 'access',
        expiresAt: new Date(now + expiresInSeconds * 1000),
      },
      { hash: hashToken(refreshToken), kind: 'refresh', expiresAt: authorization.expiresAt },
    ]);
    return { ok: true, tokens: { accessToken, refreshToken, expiresInSeconds } };
  }

  /** Ends an authorization with its tokens, certificates and live sessions. Absent is fine. */
  async end(authorizationId: string): Promise<void> {
    this.#deps.store.removeAuthorization(authorizationId);
    await this.#deps.onEnd(authorizationId);
  }
}

type Refused = { readonly ok: false; readonly refusal: Refusal };

function refuse(status: 400 | 401, error: string, description: string): Refused {
  return { ok: false, refusal: { status, error, description } };
}

const missing = (name: string): Refused =>
  refuse(400, 'invalid_request', `missing "${name}" parameter`);
const invalidGrant = (description: string): Refused => refuse(400, 'invalid_grant', description);
const invalidClient = (reason: string): Refused =>
  refuse(401, 'invalid_client', `invalid credentials (${reason})`);
