/**
 * What the server remembers of logins. In the database, so that replicas agree and a restart forgets nothing.
 * Methods throw V6_DATABASE when it cannot be asked.
 */

/** A family of refresh tokens: what one login became. */
export interface SessionRecord {
  /** The claim `v6_session` of its tokens. */
  readonly id: string;
  readonly accountId: number;
  /** Of the newest tokens; those of the login have 0. */
  readonly sequence: number;
  /** The highest sequence that an access token was used with: its answer has surely arrived. */
  readonly confirmed: number;
  /** Address of the login; null for nodes. */
  readonly source: string | null;
  readonly createdAt: Date;
  readonly rotatedAt: Date;
  /** End of the newest refresh token. */
  readonly expiresAt: Date;
  /** Ended ones stay until their tokens have run out. */
  readonly endedAt: Date | null;
}

export interface SessionStore {
  find(id: string): Promise<SessionRecord | undefined>;
  /** One that is there already stays as it is. */
  start(session: SessionRecord): Promise<void>;
  /** The next sequence, for one caller only; false when `from` is not the present one or the session has ended. */
  advance(
    id: string,
    from: number,
    times: { readonly rotatedAt: Date; readonly expiresAt: Date },
  ): Promise<boolean>;
  confirm(id: string, sequence: number): Promise<void>;
  /** Ended already, or unknown, is fine. */
  end(id: string, at: Date): Promise<void>;
  /** Live ones of an account, newest first. */
  list(accountId: number, now: Date): Promise<readonly SessionRecord[]>;
  removeExpired(now: Date): Promise<void>;
}

/** Secrets are encrypted before they come here. */
export interface SecondFactorRecord {
  /** Null until the first good code. */
  readonly secret: string | null;
  /** Shown, and not used yet. */
  readonly pending: string | null;
  /** The newest 30 s step whose code was used. */
  readonly lastStep: number;
}

export interface SecondFactorStore {
  find(userId: number): Promise<SecondFactorRecord | undefined>;
  /** Waits for its first code; one that waited before is void. */
  savePending(userId: number, pending: string): Promise<void>;
  /** False when this step or a later one was used already: of two requests with one code, one gets true. */
  takeStep(userId: number, step: number): Promise<boolean>;
  /** `pending` becomes the secret, unless another one waits by now: then false. */
  enrol(userId: number, pending: string): Promise<boolean>;
  remove(userId: number): Promise<void>;
}

export type RecoveryPurpose = 'password' | 'second-factor';
export type MailKind = RecoveryPurpose | 'locked';

export interface RecoveryStore {
  /** Older tokens of the user for the same purpose are void. */
  create(token: {
    readonly digest: string;
    readonly userId: number;
    readonly purpose: RecoveryPurpose;
    readonly expiresAt: Date;
  }): Promise<void>;
  /** The user, once; undefined for a token that is unknown, for another purpose, used or expired. */
  take(digest: string, purpose: RecoveryPurpose, now: Date): Promise<number | undefined>;
  /** True when no mail of this kind went to the user after `since`; then one counts as sent now. */
  takeMail(
    userId: number,
    kind: MailKind,
    times: { readonly now: Date; readonly since: Date },
  ): Promise<boolean>;
  /** The mail could not be sent. */
  giveBackMail(userId: number, kind: MailKind): Promise<void>;
}

export interface AttemptLimit {
  /** Digest of who tries what. */
  readonly key: string;
  readonly max: number;
  readonly windowMs: number;
  /** True: the window begins anew with every attempt that counts. */
  readonly slides: boolean;
}

export interface AttemptStore {
  /** Counts one attempt under each key; gives the keys that had reached their limit, and counts nothing there. */
  take(limits: readonly AttemptLimit[], now: Date): Promise<readonly string[]>;
  giveBack(keys: readonly string[]): Promise<void>;
  forget(keys: readonly string[]): Promise<void>;
  /** Whether a login worked under this key after `since`. */
  isKnown(key: string, since: Date): Promise<boolean>;
  remember(key: string, at: Date): Promise<void>;
  removeExpired(times: { readonly now: Date; readonly known: Date }): Promise<void>;
}
