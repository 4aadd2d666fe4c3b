import { setTimeout } from 'node:timers/promises';
import type { Clock } from '../../core/clock.ts';
import type { AccountSettings } from '../../core/config/server-accounts.ts';
import { isV6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { MailKind } from '../interfaces/account-store.ts';
import type { Mailer } from '../interfaces/mailer.ts';
import type { UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';

/** Mail to users, sent behind the caller's back: how long it takes and whether it works tells nobody who exists. */
export interface Mails {
  /** False: the configuration has no `smtp`. */
  readonly isOn: boolean;
  /**
   * Does `work` after the caller's answer, and sends what it returns. What fails is logged. At most one mail of a kind goes to
   * a user within `between_user_emails_minutes`.
   */
  send(kind: MailKind, work: () => Promise<Draft | undefined>): void;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
  /** Waits for what is under way, 5 s at most. */
  close(): Promise<void>;
}

export interface Draft {
  readonly user: Pick<UserRecord, 'id' | 'email' | 'username'>;
  /** Made when it is sure that the mail may go. */
  readonly text: () => Promise<readonly string[]>;
}

export interface MailsDeps {
  readonly store: Pick<Store, 'recoveries'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Pick<Logger, 'warn' | 'error' | 'info'>;
  readonly mailer: Mailer | undefined;
  readonly settings: AccountSettings;
}

const SUBJECTS: Readonly<Record<MailKind, string>> = {
  password: 'a new password',
  'second-factor': 'a new second factor',
  locked: 'failed logins',
};
const LAST_MAILS_MS = 5000;
/** A flood of requests must not become a flood of work. */
const MAX_UNDER_WAY = 100;

export function createMails(deps: MailsDeps): Mails {
  const { mailer, logger, settings, clock } = deps;
  const { recoveries } = deps.store;
  const underWay = new Set<Promise<void>>();

  const deliver = async (kind: MailKind, draft: Draft): Promise<void> => {
    if (mailer === undefined) return;
    const { user } = draft;
    const now = clock.now();
    const since = new Date(now.getTime() - settings.betweenUserEmailsMinutes * 60_000);
    if (!(await recoveries.takeMail(user.id, kind, { now, since }))) return;
    try {
      const lines = await draft.text();
      const subject = `vantage6 ${settings.serverName}: ${SUBJECTS[kind]}`;
      await mailer.send({ to: user.email, subject, text: `${lines.join('\n')}\n` });
      logger.info('Mail sent', { kind, user: user.id });
    } catch (error) {
      await recoveries.giveBackMail(user.id, kind);
      throw error;
    }
  };

  const run = async (kind: MailKind, work: () => Promise<Draft | undefined>): Promise<void> => {
    try {
      const draft = await work();
      if (draft !== undefined) await deliver(kind, draft);
    } catch (error) {
      if (isV6Error(error))
        logger.warn('A mail could not be sent', { kind, code: error.code, reason: error.message });
      else logger.error('A mail could not be made', { kind, error });
    }
  };

  const idle = async (): Promise<void> => {
    while (underWay.size > 0) await Promise.all(underWay);
  };

  return {
    isOn: mailer !== undefined,
    send: (kind, work) => {
      if (mailer === undefined || underWay.size >= MAX_UNDER_WAY) return;
      const job = run(kind, work).finally(() => underWay.delete(job));
      underWay.add(job);
    },
    idle,
    close: async () => {
      await Promise.race([idle(), setTimeout(LAST_MAILS_MS, undefined, { ref: false })]);
      mailer?.close();
    },
  };
}
