import { createHmac, randomBytes } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import type { AccountSettings } from '../../core/config/server-accounts.ts';
import { V6Error } from '../../core/errors.ts';
import { checkPasswordRule } from '../auth/password-rule.ts';
import type { RecoveryPurpose } from '../interfaces/account-store.ts';
import type { UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { type AttemptLimit, createAttempts } from './attempts.ts';
import type { Credentials, Login } from './login.ts';
import type { Mails } from './mails.ts';
import type { Enrolment, SecondFactor } from './second-factor.ts';

/** Lost passwords and second factors, by tokens in mails: random, good once, for one purpose, for an hour by default. */
export interface Recovery {
  /** Mails a token to the user, if there is one; the caller cannot tell. Throws V6_MAIL_OFF, V6_REQUEST_RATE. */
  passwordLost(
    who: { readonly username?: string | undefined; readonly email?: string | undefined },
    source: string,
  ): void;
  /** Ends all sessions. Throws V6_RECOVERY_TOKEN, V6_REQUEST_INVALID (the password does not follow the rule), V6_REQUEST_RATE. */
  resetPassword(token: string, password: string, source: string): Promise<void>;
  /** Mails a token. Throws V6_MAIL_OFF, V6_AUTH_FAILED, V6_REQUEST_RATE. */
  secondFactorLost(credentials: Credentials, source: string): Promise<void>;
  /** Ends all sessions and the old second factor. Throws V6_RECOVERY_TOKEN, V6_REQUEST_RATE. */
  resetSecondFactor(token: string, source: string): Promise<Enrolment>;
}

export interface RecoveryDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly login: Login;
  readonly mails: Mails;
  /** Also while `two_factor_auth` is off, as upstream. */
  readonly secondFactor: SecondFactor;
  /** Digests tokens: the database gives none away. */
  readonly key: Buffer;
  readonly settings: AccountSettings;
}

const PER_SOURCE: AttemptLimit = { max: 20, windowMs: 15 * 60_000 };

export function createRecovery(deps: RecoveryDeps): Recovery {
  const { store, clock, mails, settings, login } = deps;
  const requests = createAttempts(PER_SOURCE, clock);
  const wrongTokens = createAttempts(PER_SOURCE, clock);
  const digest = (token: string): string =>
    createHmac('sha256', deps.key).update(`recovery ${token}`).digest('hex');

  const takeRequest = (source: string): void => {
    if (!mails.isOn) throw mailOff();
    if (!requests.take(source)) throw tooMany();
  };

  const newToken = async (userId: number, purpose: RecoveryPurpose): Promise<string> => {
    const token = randomBytes(32).toString('base64url');
    const expiresAt = new Date(clock.now().getTime() + settings.emailTokenMinutes * 60_000);
    await store.transaction((tx) =>
      tx.recoveries.create({ digest: digest(token), userId, purpose, expiresAt }),
    );
    return token;
  };

  const userOf = async (
    token: string,
    purpose: RecoveryPurpose,
    source: string,
  ): Promise<UserRecord> => {
    if (!wrongTokens.take(source)) throw tooMany();
    const id = await store.recoveries.take(digest(token), purpose, clock.now());
    const user = id === undefined ? undefined : await store.users.find(id);
    if (user === undefined) {
      throw new V6Error('V6_RECOVERY_TOKEN', 'The token is unknown, used or too old', {
        hints: ['Ask for a new mail.'],
      });
    }
    wrongTokens.giveBack(source);
    return user;
  };

  return {
    passwordLost: ({ username, email }, source) => {
      takeRequest(source);
      mails.send('password', async () => {
        const user =
          username !== undefined
            ? (await store.users.findLogin(username))?.user
            : email === undefined
              ? undefined
              : await store.users.findByEmail(email);
        const text = async (): Promise<readonly string[]> =>
          user === undefined
            ? []
            : passwordMail(settings, user, await newToken(user.id, 'password'));
        return user && { user, text };
      });
    },

    resetPassword: async (token, password, source) => {
      // Before the token is used up; who it is for is known only afterwards.
      checkPasswordRule(password, [settings.serverName]);
      const user = await userOf(token, 'password', source);
      await login.setPassword(user, password, source);
    },

    secondFactorLost: async (credentials, source) => {
      takeRequest(source);
      const user = await login.identify(credentials, source);
      mails.send('second-factor', async () => ({
        user,
        text: async () =>
          secondFactorMail(settings, user, await newToken(user.id, 'second-factor')),
      }));
    },

    resetSecondFactor: async (token, source) => {
      const user = await userOf(token, 'second-factor', source);
      await deps.secondFactor.remove(user.id);
      await login.endAll(user);
      return deps.secondFactor.begin(user);
    },
  };
}

type Addressee = Pick<UserRecord, 'username'>;

const closing = ({ supportEmail }: AccountSettings): readonly string[] => [
  '',
  'If this was not you, somebody else has typed your name; nothing has changed.',
  ...(supportEmail === undefined ? [] : [`Questions: ${supportEmail}`]),
];

const passwordMail = (
  settings: AccountSettings,
  { username }: Addressee,
  token: string,
): readonly string[] => [
  `A new password was asked for user ${username} at ${settings.serverName}.`,
  '',
  'This token sets one, once:',
  '',
  token,
  '',
  `It is good for ${settings.emailTokenMinutes} minutes. In Python:`,
  'client.util.set_my_password(token="…", password="…")',
  ...closing(settings),
];

const secondFactorMail = (
  settings: AccountSettings,
  { username }: Addressee,
  token: string,
): readonly string[] => [
  `A new second factor was asked for user ${username} at ${settings.serverName}.`,
  '',
  'This token sets one up, once; the old one ends:',
  '',
  token,
  '',
  `It is good for ${settings.emailTokenMinutes} minutes. In Python:`,
  'client.util.set_two_factor_auth(token="…")',
  ...closing(settings),
];

/** To a user whose name is guessed at. */
export const lockedMail = (
  settings: AccountSettings,
  { username }: Addressee,
): readonly string[] => [
  `Logins of user ${username} at ${settings.serverName} failed too often.`,
  '',
  'The address that they came from has to wait; from where you usually log in,',
  'you still can.',
  ...closing(settings),
];

const mailOff = (): V6Error =>
  new V6Error('V6_MAIL_OFF', 'This server sends no mail', {
    hints: ['Ask its administrator to set a new password: v6 server user reset-password'],
  });

const tooMany = (): V6Error =>
  new V6Error('V6_REQUEST_RATE', 'Too many requests of this kind from this address', {
    hints: ['Wait 15 minutes.'],
    details: { retryAfterSeconds: PER_SOURCE.windowMs / 1000 },
  });
