import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import { apiKeyDigest } from '../auth/api-keys.ts';
import { hashPassword, verifyNothing, verifyPassword } from '../auth/passwords.ts';
import type { Tokens } from '../auth/tokens.ts';
import type { NodeRecord, UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { createAttempts } from './attempts.ts';

export interface TokenPair {
  readonly id: number;
  readonly access: string;
  readonly refresh: string;
}

export interface LoginDeps {
  readonly store: Store;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly apiKeyDigestKey: Buffer;
}

export interface Login {
  /**
   * Throws V6_AUTH_FAILED (one text for an unknown user and a wrong password, and one duration), V6_REQUEST_RATE.
   * `source` is the address of the caller.
   */
  user(username: string, password: string, source: string): Promise<TokenPair>;
  /** Throws V6_AUTH_API_KEY. */
  node(apiKey: string): Promise<TokenPair>;
  issueFor(account: UserRecord | NodeRecord): Promise<TokenPair>;
  /** Ends all tokens of the user. Throws V6_AUTH_FAILED when the present password is wrong. */
  changePassword(user: UserRecord, current: string, next: string, source: string): Promise<void>;
}

const WINDOW_MS = 15 * 60_000;
/** As upstream; but per name and source, so that a stranger cannot keep a user out. */
const PER_NAME_AND_SOURCE = 5;
/** Guesses at many names from one place; a hospital's users share an address. */
const PER_SOURCE = 100;

export function createLogin({ store, tokens, clock, apiKeyDigestKey }: LoginDeps): Login {
  const perName = createAttempts({ max: PER_NAME_AND_SOURCE, windowMs: WINDOW_MS }, clock);
  const perSource = createAttempts({ max: PER_SOURCE, windowMs: WINDOW_MS }, clock);

  /** Counted before the slow check, so that parallel guesses are counted too. */
  const takeAttempt = (username: string, source: string): void => {
    if (perSource.take(source) && perName.take(`${source} ${username}`)) return;
    throw new V6Error('V6_REQUEST_RATE', 'Too many failed logins from this address', {
      hints: ['Wait 15 minutes.'],
    });
  };

  const check = async (username: string, password: string, source: string): Promise<UserRecord> => {
    takeAttempt(username, source);
    const found = await store.users.findLogin(username);
    const isRight =
      found === undefined
        ? await verifyNothing(password)
        : await verifyPassword(password, found.passwordHash);
    if (found === undefined || !isRight)
      throw new V6Error('V6_AUTH_FAILED', 'User name or password is wrong');
    perName.forget(`${source} ${username}`);
    perSource.giveBack(source);
    return found.user;
  };

  const issueFor = async (account: UserRecord | NodeRecord): Promise<TokenPair> => {
    const { id, tokenGeneration: generation } = account;
    const roles = 'roles' in account ? account.roles.map((role) => role.name) : [];
    const kind = 'roles' in account ? 'user' : 'node';
    return { id, ...(await tokens.account({ kind, id, roles, generation })) };
  };

  return {
    user: async (username, password, source) => issueFor(await check(username, password, source)),
    node: async (apiKey) => {
      const node = await store.nodes.findByKeyDigest(apiKeyDigest(apiKeyDigestKey, apiKey));
      if (node === undefined) {
        throw new V6Error('V6_AUTH_API_KEY', 'The API key belongs to no node', {
          hints: ['Check api_key in the configuration of the node, or reset the key.'],
        });
      }
      return issueFor(node);
    },
    issueFor,
    changePassword: async (user, current, next, source) => {
      await check(user.username, current, source);
      await store.users.update(user.id, {
        passwordHash: await hashPassword(next),
        endTokens: true,
      });
    },
  };
}
