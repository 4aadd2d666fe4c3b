import { randomUUID } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { accountOf } from '../auth/identity.ts';
import type { Subject, TokenSession, Tokens } from '../auth/tokens.ts';
import type { SessionRecord } from '../interfaces/account-store.ts';
import type { NodeRecord, UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import type { Events } from './events.ts';

export interface TokenPair {
  readonly id: number;
  readonly access: string;
  readonly refresh: string;
}

export interface RefreshedPair extends TokenPair {
  readonly kind: 'user' | 'node';
}

/**
 * Sessions: the refresh tokens that one login becomes, one after the other. A refresh token is good once. One that was used
 * before ends its session, because two parties hold it; but not when it may be a repetition: within 30 s, and as long as nobody
 * has used the access token that came with its successor (the answer was lost, and a node may be away for days).
 */
export interface Sessions {
  /** A login. `source` is the caller's address. */
  begin(account: UserRecord | NodeRecord, source: string | null): Promise<TokenPair>;
  /** Throws V6_AUTH_REQUIRED (session or account ended), V6_AUTH_TOKEN_EXPIRED, V6_AUTH_TOKEN_INVALID. */
  refresh(refreshToken: string): Promise<RefreshedPair>;
  /** Ends the session of a token; its account's sockets are cut, and come back where they still may. */
  end(session: TokenSession, account: UserRecord | NodeRecord): Promise<void>;
  list(accountId: number): Promise<readonly SessionRecord[]>;
}

export interface SessionDeps {
  readonly store: Store;
  readonly tokens: Tokens;
  readonly clock: Pick<Clock, 'now'>;
  readonly events: Events;
  readonly logger: Pick<Logger, 'warn'>;
  /** A user logs in again after this; nodes live on. */
  readonly userMaxMs: number;
}

const REPEAT_MS = 30_000;
const CLEAN_EVERY_MS = 3_600_000;
const isUser = (account: UserRecord | NodeRecord): account is UserRecord => 'username' in account;

export function createSessions(deps: SessionDeps): Sessions {
  const { store, clock, events, logger } = deps;
  const cleaned = { at: 0 };

  const issue = async (account: UserRecord | NodeRecord, session: TokenSession) => {
    const { id, tokenGeneration: generation } = account;
    const isPerson = isUser(account);
    return deps.tokens.account({
      kind: isPerson ? 'user' : 'node',
      id,
      roles: isPerson ? account.roles.map((role) => role.name) : [],
      generation,
      session,
      ...(isPerson ? { until: new Date(session.startedAt.getTime() + deps.userMaxMs) } : {}),
    });
  };

  const clean = async (): Promise<void> => {
    const now = clock.now();
    if (now.getTime() - cleaned.at < CLEAN_EVERY_MS) return;
    cleaned.at = now.getTime();
    await store.sessions.removeExpired(now);
  };

  const endStolen = async (session: SessionRecord): Promise<V6Error> => {
    await store.sessions.end(session.id, clock.now());
    events.publish({ type: 'account-ended', accountId: session.accountId });
    logger.warn('A refresh token was used twice: its session is ended', {
      account: session.accountId,
      sequence: session.sequence,
    });
    return sessionEnded();
  };

  /** The sequence that the answer carries. */
  const nextSequence = async (found: SessionRecord, from: number, endsAt: Date) => {
    const rotatedAt = clock.now();
    let session = found;
    if (from === session.sequence) {
      if (await store.sessions.advance(session.id, from, { rotatedAt, expiresAt: endsAt }))
        return from + 1;
      // Another request was faster.
      session = (await store.sessions.find(session.id)) ?? session;
    }
    if (session.endedAt !== null) throw sessionEnded();
    const isFresh = rotatedAt.getTime() - session.rotatedAt.getTime() <= REPEAT_MS;
    const isUnconfirmed = session.confirmed < session.sequence;
    if (from === session.sequence - 1 && (isFresh || isUnconfirmed)) return session.sequence;
    throw await endStolen(session);
  };

  return {
    begin: async (account, source) => {
      const session = { id: randomUUID(), sequence: 0, startedAt: clock.now() };
      const { access, refresh, refreshExpiresAt } = await issue(account, session);
      // A node's session is written when it is first refreshed: a thousand may log in at once.
      if (isUser(account)) {
        await clean();
        await store.sessions.start(newRecord(account.id, session, { source, refreshExpiresAt }));
      }
      return { id: account.id, access, refresh };
    },

    refresh: async (refreshToken) => {
      const subject = await deps.tokens.read(refreshToken, 'refresh');
      if (subject.kind === 'container') throw noRefresh();
      const account = await accountOf(store, subject);
      const { session } = subject;
      if (session === undefined) throw noRefresh();
      assertYoung(subject, deps.userMaxMs, clock.now());
      const issued = await issue(account, { ...session, sequence: session.sequence + 1 });
      const found = await findOrStart(store, account.id, session, issued.refreshExpiresAt);
      if (found.endedAt !== null || found.accountId !== account.id) throw sessionEnded();
      const sequence = await nextSequence(found, session.sequence, issued.refreshExpiresAt);
      await clean();
      const pair =
        sequence === session.sequence + 1 ? issued : await issue(account, { ...session, sequence });
      return { kind: subject.kind, id: account.id, access: pair.access, refresh: pair.refresh };
    },

    end: async (session, account) => {
      // One that was never refreshed is not in the table yet, and must not come up again.
      const record = newRecord(account.id, session, {
        source: null,
        refreshExpiresAt: (await issue(account, session)).refreshExpiresAt,
      });
      await store.sessions.start({ ...record, endedAt: clock.now() });
      await store.sessions.end(session.id, clock.now());
      events.publish({ type: 'account-ended', accountId: account.id });
    },

    list: (accountId) => store.sessions.list(accountId, clock.now()),
  };
}

function newRecord(
  accountId: number,
  { id, sequence, startedAt }: TokenSession,
  times: { readonly source: string | null; readonly refreshExpiresAt: Date },
): SessionRecord {
  return {
    id,
    accountId,
    sequence,
    confirmed: sequence,
    source: times.source,
    createdAt: startedAt,
    rotatedAt: startedAt,
    expiresAt: times.refreshExpiresAt,
    endedAt: null,
  };
}

async function findOrStart(
  store: Store,
  accountId: number,
  session: TokenSession,
  refreshExpiresAt: Date,
): Promise<SessionRecord> {
  const found = await store.sessions.find(session.id);
  if (found !== undefined) return found;
  const record = newRecord(accountId, session, { source: null, refreshExpiresAt });
  await store.sessions.start(record);
  return (await store.sessions.find(session.id)) ?? record;
}

function assertYoung(subject: Subject, maxMs: number, now: Date): void {
  if (subject.kind !== 'user' || subject.session === undefined) return;
  if (now.getTime() - subject.session.startedAt.getTime() < maxMs) return;
  throw new V6Error('V6_AUTH_TOKEN_EXPIRED', 'The login is too old to be refreshed', {
    hints: ['Log in again.'],
  });
}

const noRefresh = (): V6Error =>
  new V6Error('V6_AUTH_FORBIDDEN', 'Containers have no refresh token');

const sessionEnded = (): V6Error =>
  new V6Error('V6_AUTH_REQUIRED', 'This session has ended', { hints: ['Log in again.'] });
