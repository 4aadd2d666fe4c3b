import { randomUUID } from 'node:crypto';
import { errors, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import { isRecord } from '../../core/protocol/json.ts';

/** What the token of an algorithm container says: an object, where users and nodes have their id (vantage6 4.14 server, resource/token.py). */
export interface ContainerSubject {
  readonly client_type: 'container';
  readonly node_id: number;
  readonly organization_id: number;
  readonly collaboration_id: number;
  readonly study_id: null;
  readonly store_id: null;
  readonly task_id: number;
  readonly image: string;
  readonly databases: readonly Readonly<Record<string, unknown>>[];
}

export interface AccountSubject {
  readonly kind: 'user' | 'node';
  readonly id: number;
  readonly roles: readonly string[];
  readonly generation: number;
}

export type Subject =
  | {
      readonly kind: 'user' | 'node';
      readonly id: number;
      /** Undefined when the token was made by another program with our secret. */
      readonly generation: number | undefined;
      readonly expiresAt: Date | undefined;
    }
  | { readonly kind: 'container'; readonly subject: ContainerSubject };

export type TokenType = 'access' | 'refresh';

/** Makes and reads the three kinds of tokens: HS256, claims as upstream has them, and `v6_generation` for users and nodes. */
export interface Tokens {
  account(subject: AccountSubject): Promise<{ readonly access: string; readonly refresh: string }>;
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
  const { key, clock } = settings;
  const sign = (
    claims: Readonly<Record<string, unknown>>,
    lifeSeconds?: number,
  ): Promise<string> => {
    const now = Math.floor(clock.now().getTime() / 1000);
    return new SignJWT({
      fresh: false,
      iat: now,
      nbf: now,
      jti: randomUUID(),
      csrf: randomUUID(),
      ...claims,
      ...(lifeSeconds === undefined ? {} : { exp: now + lifeSeconds }),
    })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(key);
  };
  return {
    account: async ({ kind, id, roles, generation }) => {
      const claims = { sub: id, client_type: kind, roles, v6_generation: generation };
      return {
        access: await sign({ ...claims, type: 'access' }, settings.accessSeconds),
        refresh: await sign({ ...claims, type: 'refresh' }, settings.refreshSeconds),
      };
    },
    // No `exp`, as upstream: it ends with its run, which is looked up at every use.
    container: (subject) =>
      sign({ sub: subject, client_type: 'container', roles: [], type: 'access' }),
    read: async (token, type) => {
      const claims = await verify(token, settings);
      if (claims.type !== type) throw invalid(`This is not an ${type} token`);
      return toSubject(claims);
    },
  };
}

async function verify(token: string, { key, clock }: TokenSettings): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['HS256'],
      currentDate: clock.now(),
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) {
      throw new V6Error('V6_AUTH_TOKEN_EXPIRED', 'The token has expired', {
        hints: ['Refresh it, or log in again.'],
      });
    }
    throw invalid('The token is not valid');
  }
}

function toSubject(claims: JWTPayload): Subject {
  const { client_type: kind, v6_generation: generation, exp } = claims;
  const sub = claims.sub as unknown;
  if ((kind === 'user' || kind === 'node') && Number.isInteger(sub)) {
    return {
      kind,
      id: sub as number,
      generation: typeof generation === 'number' ? generation : undefined,
      expiresAt: exp === undefined ? undefined : new Date(exp * 1000),
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

const invalid = (message: string): V6Error =>
  new V6Error('V6_AUTH_TOKEN_INVALID', message, { hints: ['Log in again.'] });
