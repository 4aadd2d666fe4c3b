import type { Clock } from '../../core/clock.ts';
import type { AccountSettings } from '../../core/config/server-accounts.ts';
import type { Logger } from '../../core/logger.ts';
import type { ServerKeys } from '../auth/secret.ts';
import type { Tokens } from '../auth/tokens.ts';
import type { Mailer } from '../interfaces/mailer.ts';
import type { Store } from '../interfaces/store.ts';
import type { Events } from './events.ts';
import { createGuesses } from './guesses.ts';
import { createLogin, type Login } from './login.ts';
import { createMails, type Mails } from './mails.ts';
import { createRecovery, lockedMail, type Recovery } from './recovery.ts';
import { createSecondFactor } from './second-factor.ts';
import { createSessions, type Sessions } from './sessions.ts';

export interface AccountsDeps {
  readonly store: Store;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly events: Events;
  readonly logger: Logger;
  readonly keys: Pick<ServerKeys, 'apiKey' | 'secondFactors' | 'accounts'>;
  readonly settings: AccountSettings;
  /** Undefined: no mail. */
  readonly mailer: Mailer | undefined;
}

/** Everything about logins, on one set of settings. */
export interface Accounts {
  readonly login: Login;
  readonly sessions: Sessions;
  readonly recovery: Recovery;
  readonly mails: Mails;
}

export function createAccounts(deps: AccountsDeps): Accounts {
  const { store, clock, logger, events, keys, settings } = deps;
  const mails = createMails({ store, clock, logger, mailer: deps.mailer, settings });
  const sessions = createSessions({
    store,
    tokens: deps.tokens,
    clock,
    events,
    logger,
    userMaxMs: settings.sessionMaxHours * 3_600_000,
  });
  const secondFactor = createSecondFactor({
    store,
    clock,
    key: keys.secondFactors,
    serverName: settings.serverName,
  });
  const login = createLogin({
    store,
    clock,
    events,
    sessions,
    logger,
    apiKeyDigestKey: keys.apiKey,
    guesses: createGuesses({ store, clock, key: keys.accounts, settings }),
    secondFactor: settings.twoFactor ? secondFactor : undefined,
    onLocked: (username) =>
      mails.send('locked', async () => {
        const user = (await store.users.findLogin(username))?.user;
        return user && { user, text: async () => lockedMail(settings, user) };
      }),
  });
  const recovery = createRecovery({
    store,
    clock,
    login,
    mails,
    secondFactor,
    key: keys.accounts,
    settings,
  });
  return { login, sessions, recovery, mails };
}
