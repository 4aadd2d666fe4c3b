import { createHash, randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import { isRecord } from '../../core/protocol/json.ts';
import { type Claims, readHs256 } from './hs256.ts';

/** What the token of an algorithm container says: an object, where users and nodes have their id (vantage6 4.14 server, resource/token.py). */
export interface ContainerSubject {
  readonly client_type: 'container';
  readonly node_id: number;
  readonly organization_id: number;
  readonly collaboration_id: number;
  readonly study_id: number | null;
  readonly store_id: null;
  readonly task_id: number;
  readonly image: string;
  readonly databases: readonly Readonly<Record<string, unknown>>[];
  /** Label of the first database, null without any: clients of 3.x read this one. */
  readonly database?: string | null;
}

export interface AccountSubject {
  readonly kind: 'user' | 'node';
  readonly id: number;
  readonly roles: readonly string[];
  readonly generation: number;
  /** Default: a new session. */
  readonly session?: TokenSession;
  /** The refresh token ends then at the latest. */
  readonly until?: Date;
}

/** Which login a token comes from, and how often it was refreshed since. */
export interface TokenSession {
  readonly id: string;
  /** 0 for the tokens of the login itself. */
  readonly sequence: number;
  readonly startedAt: Date;
}

export type Subject =
  | {
      readonly kind: 'user' | 'node';
      readonly id: number;
      /** Undefined when the token was made by another program with our secret. */
      readonly generation: number | undefined;
      readonly expiresAt: Date | undefined;
      /** Undefined for access tokens of another program. */
      readonly session: TokenSession | undefined;
    }
  | { readonly kind: 'container'; readonly subject: ContainerSubject };

export type TokenType = 'access' | 'refresh';

export interface AccountTokens {
  readonly access: string;
  readonly refresh: string;
  readonly refreshExpiresAt: Date;
}

/**
 * Makes and reads the three kinds of tokens: HS256, claims as upstream has them. Our own (`aud`, and for users and nodes
 * `v6_generation`, `v6_session`, `v6_sequence`, `v6_started`) are checked where they are present: a token that a Python server
 * made with the same `jwt_secret_key` has none.
 */
export interface Tokens {
  account(subject: AccountSubject): Promise<AccountTokens>;
  container(subject: ContainerSubject): Promise<string>;
  /**
   * Checks signature, dates and type. Whether the record still exists is the caller's question.
   * Throws V6_AUTH_TOKEN_EXPIRED, V6_AUTH_TOKEN_INVALID.
   */
  read(token: string, type: TokenType): Promise<Subject>;
}

export interface TokenSettings {
  readonly key: Uint8Array;
  readonly accessSeconds: number;
  readonly refreshSeconds: number;
  readonly clock: Pick<Clock, 'now'>;
  /** Names this server among others that share its key. Default: tokens name none, and none is checked. */
  readonly audience?: string;
}

/** Upstream's limits: an access token of less than 30 minutes gives 6 h, a refresh token must live longer than it, else 48 h. */
export function lifetimes(accessHours: number, refreshHours: number) {
  const access = Math.round(accessHours * 3600);
  const accessSeconds = access < 1800 ? 6 * 3600 : access;
  const refresh = Math.round(refreshHours * 3600);
  return {
    accessSeconds,
    refreshSeconds: refresh > accessSeconds ? refresh : Math.max(48 * 3600, accessSeconds * 2),
  };
}

export function createTokens(settings: TokenSettings): Tokens {
  const { key, clock, audience } = settings;
  const sign = (claims: Readonly<Record<string, unknown>>, now: number): Promise<string> =>
    new SignJWT({
      fresh: false,
      iat: now,
      nbf: now,
      jti: randomUUID(),
      csrf: randomUUID(),
      ...(audience === undefined ? {} : { aud: audience }),
      ...claims,
    })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(key);
  const seconds = (date: Date): number => Math.floor(date.getTime() / 1000);
  return {
    account: async ({ kind, id, roles, generation, until, session: given }) => {
      const now = seconds(clock.now());
      const session = given ?? { id: randomUUID(), sequence: 0, startedAt: clock.now() };
      const claims = {
        sub: id,
        client_type: kind,
        roles,
        v6_generation: generation,
        v6_session: session.id,
        v6_sequence: session.sequence,
        v6_started: seconds(session.startedAt),
      };
      const last = until === undefined ? Number.MAX_SAFE_INTEGER : seconds(until);
      const refreshEnds = Math.min(now + settings.refreshSeconds, last);
      const accessEnds = Math.min(now + settings.accessSeconds, last);
      return {
        access: await sign({ ...claims, type: 'access', exp: accessEnds }, now),
        refresh: await sign({ ...claims, type: 'refresh', exp: refreshEnds }, now),
        refreshExpiresAt: new Date(refreshEnds * 1000),
      };
    },
    // No `exp`, as upstream: it ends with its run, which is looked up at every use.
    container: (subject) =>
      sign(
        { sub: subject, client_type: 'container', roles: [], type: 'access' },
        seconds(clock.now()),
      ),
    read: async (token, type) => {
      const claims = verify(token, settings);
      if (claims.type !== type) throw invalid(`This is not an ${type} token`);
      if (audience !== undefined && claims.aud !== undefined && claims.aud !== audience)
        throw invalid('The token is for another server');
      return toSubject(claims, type, token);
    },
  };
}

function verify(token: string, { key, clock }: TokenSettings): Claims {
  const claims = readHs256(token, key, clock.now());
  if (claims === 'expired') {
    throw new V6Error('V6_AUTH_TOKEN_EXPIRED', 'The token has expired', {
      hints: ['Refresh it, or log in again.'],
    });
  }
  if (claims === 'invalid') throw invalid('The token is not valid');
  return claims;
}

function toSubject(claims: Claims, type: TokenType, token: string): Subject {
  const { client_type: kind, v6_generation: generation, exp } = claims;
  const { sub } = claims;
  if ((kind === 'user' || kind === 'node') && Number.isInteger(sub)) {
    return {
      kind,
      id: sub as number,
      generation: typeof generation === 'number' ? generation : undefined,
      expiresAt: exp === undefined ? undefined : new Date(exp * 1000),
      session:
        sessionOf(claims) ?? (type === 'refresh' ? foreignSession(claims, token) : undefined),
    };
  }
  const needed = ['node_id', 'organization_id', 'collaboration_id', 'task_id'];
  if (
    kind === 'container' &&
    isRecord(sub) &&
    typeof sub.image === 'string' &&
    needed.every((name) => Number.isInteger(sub[name]))
  )
    return { kind, subject: sub as unknown as ContainerSubject };
  throw invalid('The token names nobody');
}

function sessionOf(claims: Claims): TokenSession | undefined {
  const { v6_session: id, v6_sequence: sequence, v6_started: started } = claims;
  if (typeof id !== 'string' || !Number.isInteger(sequence) || !Number.isInteger(started))
    return undefined;
  return { id, sequence: sequence as number, startedAt: new Date((started as number) * 1000) };
}

/** A refresh token of another program begins a session of its own, so that it too is good for one rotation. */
function foreignSession(claims: Claims, token: string): TokenSession {
  const id = createHash('sha256')
    .update(claims.jti ?? token)
    .digest('hex');
  return { id, sequence: 0, startedAt: new Date((claims.iat ?? 0) * 1000) };
}

const invalid = (message: string): V6Error =>
  new V6Error('V6_AUTH_TOKEN_INVALID', message, { hints: ['Log in again.'] });
