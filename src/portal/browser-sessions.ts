import { createHmac, randomBytes } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import type { AccountStore } from './interfaces/store.ts';
import { hashToken, isSameSecret } from './secrets.ts';

/** A browser session lasts half an hour (eduVPN `browserSessionExpiry`). */
const SESSION_MS = 30 * 60_000;

export interface BrowserSession {
  /** Undefined while nobody is logged in. */
  readonly user: string | undefined;
  readonly id: string;
  /** True when the request brought no valid id: the answer then has to set the cookie. */
  readonly isNew: boolean;
}

/**
 * Sessions of the authorize step. A visitor's id is 32 random hexadecimal digits and 32 that sign them, so it is recognised
 * without storing anything for people who never log in; who logs in gets a random id that is stored.
 */
export class BrowserSessions {
  readonly #store: Pick<AccountStore, 'findSession' | 'addSession' | 'removeSession'>;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #key = randomBytes(32);

  constructor(
    store: Pick<AccountStore, 'findSession' | 'addSession' | 'removeSession'>,
    clock: Pick<Clock, 'now'>,
  ) {
    this.#store = store;
    this.#clock = clock;
  }

  /** The session that the `Cookie` header names, or a new one without a user. */
  open(cookieHeader: string | undefined): BrowserSession {
    const id = /(?:^|;)\s*SID=([0-9a-f]{64})\s*(?:;|$)/.exec(cookieHeader ?? '')?.[1];
    if (id === undefined) return { user: undefined, id: this.#makeVisitorId(), isNew: true };
    const user = this.#store.findSession(hashToken(id), this.#clock.now());
    if (user !== undefined) return { user, id, isNew: false };
    if (this.#isOurs(id)) return { user: undefined, id, isNew: false };
    return { user: undefined, id: this.#makeVisitorId(), isNew: true };
  }

  /** Logs a user in. The id changes unless the same user had it already: nobody can plant one beforehand. */
  logIn(session: BrowserSession, user: string): BrowserSession {
    if (session.user === user) return session;
    if (session.user !== undefined) this.logOut(session);
    const id = randomBytes(32).toString('hex');
    const expiresAt = new Date(this.#clock.now().getTime() + SESSION_MS);
    this.#store.addSession(hashToken(id), user, expiresAt);
    return { user, id, isNew: true };
  }

  logOut(session: BrowserSession): void {
    this.#store.removeSession(hashToken(session.id));
  }

  #makeVisitorId(): string {
    const text = randomBytes(16).toString('hex');
    return `${text}${this.#sign(text)}`;
  }

  #isOurs(id: string): boolean {
    return isSameSecret(this.#sign(id.slice(0, 32)), id.slice(32));
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('hex').slice(0, 32);
  }
}
