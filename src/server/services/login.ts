import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { apiKeyDigest } from '../auth/api-keys.ts';
import { hashPassword, verifyNothing, verifyPassword } from '../auth/passwords.ts';
import type { NodeRecord, UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { createAttempts } from './attempts.ts';
import type { Events } from './events.ts';
import type { Attempt, Guesses } from './guesses.ts';
import type { Enrolment, SecondFactor } from './second-factor.ts';
import type { Sessions, TokenPair } from './sessions.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** Of the authenticator app. */
  readonly code?: string | undefined;
}

export type LoginAnswer =
  | { readonly kind: 'tokens'; readonly pair: TokenPair }
  /** The user has no second factor yet: the next login needs a code of this one. */
  | { readonly kind: 'enrol'; readonly enrolment: Enrolment }
  | { readonly kind: 'code-needed' };

export interface Login {
  /**
   * Throws V6_AUTH_FAILED (one text and one duration for an unknown user, a wrong password and a wrong code), V6_REQUEST_RATE.
   * `source` is the address of the caller.
   */
  user(credentials: Credentials, source: string): Promise<LoginAnswer>;
  /** Throws V6_AUTH_API_KEY; V6_REQUEST_RATE after many wrong keys from one address, where a right one still works. */
  node(apiKey: string, source?: string): Promise<TokenPair>;
  issueFor(account: UserRecord | NodeRecord): Promise<TokenPair>;
  /** The user, by password alone; guesses are counted. Throws as `user`. */
  identify(credentials: Credentials, source: string): Promise<UserRecord>;
  /** Ends all tokens of the user. Throws V6_AUTH_FAILED when the present password is wrong, V6_REQUEST_RATE. */
  changePassword(user: UserRecord, current: string, next: string, source: string): Promise<void>;
  /** Ends all tokens of the user, and forgets failed logins from this address. */
  setPassword(user: UserRecord, next: string, source: string): Promise<void>;
  /** Ends all sessions of an account. */
  endAll(account: UserRecord | NodeRecord): Promise<void>;
}

export interface LoginDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly events: Events;
  readonly apiKeyDigestKey: Buffer;
  readonly sessions: Sessions;
  readonly guesses: Guesses;
  /** Undefined: `two_factor_auth` is off. */
  readonly secondFactor: SecondFactor | undefined;
  /** Told in the background that a name was guessed at too often. */
  readonly onLocked: (username: string) => void;
  readonly logger: Pick<Logger, 'info'>;
}

/** Keys are random: this saves work, and keeps a guesser's log short. */
const WRONG_KEYS = { max: 100, windowMs: 15 * 60_000 } as const;

export function createLogin(deps: LoginDeps): Login {
  const { store, sessions, secondFactor } = deps;
  const wrongKeys = createAttempts(WRONG_KEYS, deps.clock);

  const take = async (username: string, source: string): Promise<Attempt> => {
    try {
      return await deps.guesses.take(username, source);
    } catch (error) {
      deps.onLocked(username);
      throw error;
    }
  };

  /** Names that nobody has are not written: people type passwords there. */
  const refused = (reason: string, source: string, user?: number): void => {
    deps.logger.info('A login was refused', {
      reason,
      source,
      ...(user === undefined ? {} : { user }),
    });
  };

  const checkPassword = async (
    { username, password }: Credentials,
    source: string,
  ): Promise<UserRecord> => {
    const found = await store.users.findLogin(username);
    const isRight =
      found === undefined
        ? await verifyNothing(password)
        : await verifyPassword(password, found.passwordHash);
    if (found === undefined || !isRight) {
      refused(found === undefined ? 'unknown user' : 'wrong password', source, found?.user.id);
      throw wrong();
    }
    return found.user;
  };

  const identify = async (credentials: Credentials, source: string): Promise<UserRecord> => {
    const attempt = await take(credentials.username, source);
    const user = await checkPassword(credentials, source);
    // The counter goes on: whoever knows the password and guesses codes must not begin anew with every right password.
    await attempt.undecided();
    return user;
  };

  const endTokens = async (user: UserRecord | NodeRecord, passwordHash?: string): Promise<void> => {
    if ('username' in user) {
      await store.users.update(user.id, {
        ...(passwordHash === undefined ? {} : { passwordHash }),
        endTokens: true,
      });
    } else await store.nodes.update(user.id, { endTokens: true });
    deps.events.publish({ type: 'account-ended', accountId: user.id });
  };

  return {
    user: async (credentials, source) => {
      const attempt = await take(credentials.username, source);
      const user = await checkPassword(credentials, source);
      if (secondFactor !== undefined) {
        const state = await secondFactor.stateOf(user.id);
        const { code } = credentials;
        if (state === 'none' || (state === 'pending' && code === undefined)) {
          await attempt.undecided();
          return { kind: 'enrol', enrolment: await secondFactor.begin(user) };
        }
        if (code === undefined) {
          await attempt.undecided();
          return { kind: 'code-needed' };
        }
        if (!(await secondFactor.accept(user.id, code))) {
          refused('wrong code', source, user.id);
          throw wrong();
        }
      }
      await attempt.succeeded();
      const factors = secondFactor === undefined ? 1 : 2;
      deps.logger.info('A user logged in', { user: user.id, source, factors });
      return { kind: 'tokens', pair: await sessions.begin(user, source) };
    },

    node: async (apiKey, source = '') => {
      const digest = apiKeyDigest(deps.apiKeyDigestKey, apiKey);
      const node = await store.nodes.findByKeyDigest(digest);
      if (node !== undefined) {
        deps.logger.info('A node logged in', { node: node.id, source });
        return sessions.begin(node, null);
      }
      refused('unknown key', source);
      if (!wrongKeys.take(source)) {
        throw new V6Error('V6_REQUEST_RATE', 'Too many wrong API keys from this address', {
          hints: ['Check api_key in the configuration of the node, or reset the key.'],
          details: { retryAfterSeconds: WRONG_KEYS.windowMs / 1000 },
        });
      }
      throw new V6Error('V6_AUTH_API_KEY', 'The API key belongs to no node', {
        hints: ['Check api_key in the configuration of the node, or reset the key.'],
      });
    },

    issueFor: (account) => sessions.begin(account, null),
    identify,

    changePassword: async (user, current, next, source) => {
      await identify({ username: user.username, password: current }, source);
      await endTokens(user, await hashPassword(next));
      deps.logger.info('A password was changed', { user: user.id, source });
    },

    setPassword: async (user, next, source) => {
      await endTokens(user, await hashPassword(next));
      deps.logger.info('A password was set by mail', { user: user.id, source });
      await deps.guesses.forget(user.username, source);
    },

    endAll: (account) => endTokens(account),
  };
}

const wrong = (): V6Error => new V6Error('V6_AUTH_FAILED', 'User name or password is wrong');
