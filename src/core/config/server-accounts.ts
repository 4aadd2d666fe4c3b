import type { KeyReader } from './key-reader.ts';

/** Mail by SMTP: upstream's block `smtp` (vantage6 4.14 server). */
export interface SmtpSettings {
  readonly server: string;
  /** Default 1025, as upstream. */
  readonly port: number;
  readonly username: string | undefined;
  /** Never print it. */
  readonly password: string | undefined;
  /** The sender's address; default noreply@localhost. */
  readonly from: string;
  /** `MAIL_USE_TLS`, default true: STARTTLS, and no mail without it. */
  readonly startTls: boolean;
  /** `MAIL_USE_SSL`, default false: TLS from the first byte. */
  readonly tls: boolean;
}

/** What the configuration says about logins. */
export interface AccountSettings {
  /** `server_name`: what an authenticator app shows; default `cotopaxi`, as upstream. */
  readonly serverName: string;
  /** `two_factor_auth`, default false. */
  readonly twoFactor: boolean;
  /** Failed logins of one name from one address before it has to wait; 1–100, default 5. */
  readonly maxFailedAttempts: number;
  /** For how long it waits, in minutes; 1–1440, default 15. */
  readonly inactivationMinutes: number;
  /** At most one mail of a kind per user in this time, in minutes; 0–10080, default 60. */
  readonly betweenUserEmailsMinutes: number;
  /** Ours, `session_max_hours`: a user logs in again after this, however often tokens were refreshed; default 720. */
  readonly sessionMaxHours: number;
  /** Undefined: the server sends no mail. */
  readonly smtp: SmtpSettings | undefined;
  /** Life of a token in a mail, in minutes; 1–1440, default 60. */
  readonly emailTokenMinutes: number;
  /** `support_email`: named in mails. */
  readonly supportEmail: string | undefined;
}

export const DEFAULT_ACCOUNTS: AccountSettings = {
  serverName: 'cotopaxi',
  twoFactor: false,
  maxFailedAttempts: 5,
  inactivationMinutes: 15,
  betweenUserEmailsMinutes: 60,
  sessionMaxHours: 720,
  smtp: undefined,
  emailTokenMinutes: 60,
  supportEmail: undefined,
};

/** Shorter keys of HS256 can be tried out (RFC 7518 3.2 asks for 32 bytes; upstream's wizard writes a UUID, 36 characters). */
const MIN_JWT_KEY = 16;

/** Reads the keys about accounts; what is wrong goes to the reader's problems. */
export function readAccounts(keys: KeyReader): AccountSettings {
  const policy = keys.below('password_policy');
  const standard = DEFAULT_ACCOUNTS;
  return {
    serverName: keys.text('server_name') ?? standard.serverName,
    twoFactor: keys.flag('two_factor_auth') ?? standard.twoFactor,
    maxFailedAttempts:
      policy.integer('max_failed_attempts', { from: 1, to: 100 }) ?? standard.maxFailedAttempts,
    inactivationMinutes:
      policy.integer('inactivation_minutes', { from: 1, to: 1440 }) ?? standard.inactivationMinutes,
    betweenUserEmailsMinutes:
      policy.integer('between_user_emails_minutes', { from: 0, to: 10_080 }) ??
      standard.betweenUserEmailsMinutes,
    sessionMaxHours:
      keys.integer('session_max_hours', { from: 1, to: 87_600 }) ?? standard.sessionMaxHours,
    smtp: readSmtp(keys),
    emailTokenMinutes: readTokenMinutes(keys) ?? standard.emailTokenMinutes,
    supportEmail: keys.text('support_email'),
  };
}

/** The text that signs tokens; a short one is a problem. */
export function readJwtSecretKey(keys: KeyReader): string | undefined {
  const value = keys.text('jwt_secret_key');
  if (value !== undefined && value.length < MIN_JWT_KEY)
    keys.problem('jwt_secret_key', `must have at least ${MIN_JWT_KEY} characters`);
  return value;
}

/** Upstream documents it at the top and reads it below `smtp`: both count, the inner one first. */
function readTokenMinutes(keys: KeyReader): number | undefined {
  const range = { from: 1, to: 1440 };
  const key = 'email_token_validity_minutes';
  return keys.below('smtp').integer(key, range) ?? keys.integer(key, range);
}

function readSmtp(keys: KeyReader): SmtpSettings | undefined {
  if (keys.raw('smtp') === undefined) return undefined;
  const smtp = keys.below('smtp');
  const username = smtp.text('username');
  const password = smtp.text('password');
  if ((username === undefined) !== (password === undefined))
    smtp.problem(
      username === undefined ? 'username' : 'password',
      'is missing: name and password belong together',
    );
  const from = smtp.text('email_from') ?? 'noreply@localhost';
  if (!/^[^\s@<>]+@[^\s@<>]+$/.test(from))
    smtp.problem('email_from', `must be a mail address, not ${JSON.stringify(from)}`);
  const server = smtp.text('server') ?? 'localhost';
  if (!/^[\w.:-]+$/.test(server))
    smtp.problem('server', `must be the name of a host, not ${JSON.stringify(server)}`);
  return {
    server,
    port: smtp.integer('port', { from: 1, to: 65_535 }) ?? 1025,
    username,
    password,
    from,
    startTls: smtp.flag('MAIL_USE_TLS') ?? true,
    tls: smtp.flag('MAIL_USE_SSL') ?? false,
  };
}
