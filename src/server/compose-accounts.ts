import { randomUUID } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import type { ServerConfig } from '../core/config/server-config.ts';
import type { Logger } from '../core/logger.ts';
import type { ServerKeys } from './auth/secret.ts';
import { createTokens, lifetimes, type Tokens } from './auth/tokens.ts';
import type { Mailer } from './interfaces/mailer.ts';
import type { Store } from './interfaces/store.ts';
import { type Accounts, createAccounts } from './services/accounts.ts';
import type { Events } from './services/events.ts';

export interface AccountsInput {
  readonly config: ServerConfig;
  readonly store: Store;
  readonly keys: ServerKeys;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: Events;
}

/** Tokens, logins and mail of a server, as its configuration says. Throws V6_DATABASE. */
export async function composeAccounts(
  input: AccountsInput,
): Promise<Accounts & { readonly tokens: Tokens }> {
  const { config, store, keys, clock, logger, events } = input;
  const tokens = createTokens({
    key: keys.jwt,
    ...lifetimes(config.tokenExpiresHours, config.refreshTokenExpiresHours),
    clock,
    audience: `v6-server ${await serverId(store)}`,
  });
  const mailer = await composeMailer(config);
  const settings = config.accounts;
  return {
    tokens,
    ...createAccounts({ store, tokens, clock, events, logger, keys, settings, mailer }),
  };
}

/** The mail library is loaded only where it is used. */
async function composeMailer({ accounts }: ServerConfig): Promise<Mailer | undefined> {
  if (accounts.smtp === undefined) return undefined;
  const { createSmtpMailer } = await import('../adapters/mail/smtp-mailer.ts');
  return createSmtpMailer(accounts.smtp);
}

/** Names the database among others whose servers share a `jwt_secret_key`. All replicas have the same one. */
async function serverId(store: Store): Promise<string> {
  const found = await store.meta.find('server-id');
  if (found !== undefined) return found;
  await store.meta.set('server-id', randomUUID());
  return (await store.meta.find('server-id')) ?? '';
}
