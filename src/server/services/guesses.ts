import { createHmac } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import type { AccountSettings } from '../../core/config/server-accounts.ts';
import { V6Error } from '../../core/errors.ts';
import type { Store } from '../interfaces/store.ts';

/**
 * Holds guesses at passwords and codes back, and keeps nobody out who is not guessing:
 * per name and address (5 in 15 min by default), per address (20 times as many: a hospital's users share one), and per name from all
 * addresses together (10 times as many in four times the time) except those where the name has logged in within 90 days.
 * Names that do not exist are counted like others. Attempts are counted before the slow check of a password, in one statement,
 * so that parallel ones and those at other replicas count too.
 */
export interface Guesses {
  /** Counts an attempt. Throws V6_REQUEST_RATE, and then counts nothing. */
  take(username: string, source: string): Promise<Attempt>;
  /** Forgets what was counted for a name at an address, after its password was set anew. */
  forget(username: string, source: string): Promise<void>;
  /** Forgets what was counted for a name from everywhere, and what at these addresses. */
  unlock(username: string, sources: readonly string[]): Promise<void>;
}

export interface Attempt {
  /** The login worked: nothing was guessed, and the address is known from now on. */
  succeeded(): Promise<void>;
  /** Neither right nor wrong: a code is still to come. */
  undecided(): Promise<void>;
}

export interface GuessDeps {
  readonly store: Pick<Store, 'attempts'>;
  readonly clock: Pick<Clock, 'now'>;
  /** Digests names and addresses: the table tells nobody who tried what. */
  readonly key: Buffer;
  readonly settings: Pick<AccountSettings, 'maxFailedAttempts' | 'inactivationMinutes'>;
}

const KNOWN_MS = 90 * 24 * 3_600_000;
const CLEAN_EVERY_MS = 3_600_000;

export function createGuesses({ store, clock, key, settings }: GuessDeps): Guesses {
  const { attempts } = store;
  const max = settings.maxFailedAttempts;
  const windowMs = settings.inactivationMinutes * 60_000;
  const cleaned = { at: 0 };
  const digest = (...parts: readonly string[]): string =>
    createHmac('sha256', key).update(JSON.stringify(parts)).digest('hex');

  const clean = async (now: Date): Promise<void> => {
    if (now.getTime() - cleaned.at < CLEAN_EVERY_MS) return;
    cleaned.at = now.getTime();
    await attempts.removeExpired({ now, known: new Date(now.getTime() - KNOWN_MS) });
  };

  return {
    take: async (username, source) => {
      const now = clock.now();
      await clean(now);
      const pair = digest('pair', username, source);
      const isKnown = await attempts.isKnown(pair, new Date(now.getTime() - KNOWN_MS));
      const place = { key: digest('source', source), max: max * 20, windowMs, slides: false };
      const limits = [{ key: pair, max, windowMs, slides: true }, place];
      const everywhere = digest('name', username);
      if (!isKnown)
        limits.push({ key: everywhere, max: max * 10, windowMs: windowMs * 4, slides: false });
      const full = await attempts.take(limits, now);
      const keys = limits.map((limit) => limit.key);
      if (full.length > 0) {
        await attempts.giveBack(keys.filter((one) => !full.includes(one)));
        throw tooMany(settings.inactivationMinutes);
      }
      return {
        succeeded: async () => {
          await attempts.forget([pair]);
          await attempts.giveBack(keys.filter((one) => one !== pair));
          if (!isKnown) await attempts.remember(pair, now);
        },
        undecided: () => attempts.giveBack(keys),
      };
    },
    forget: (username, source) => attempts.forget([digest('pair', username, source)]),
    unlock: (username, sources) =>
      attempts.forget([
        digest('name', username),
        ...sources.map((source) => digest('pair', username, source)),
      ]),
  };
}

function tooMany(minutes: number): V6Error {
  return new V6Error('V6_REQUEST_RATE', 'Too many failed logins', {
    hints: [`Wait ${minutes} minutes.`],
    details: { retryAfterSeconds: minutes * 60 },
  });
}
