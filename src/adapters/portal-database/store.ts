import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { V6Error } from '../../core/errors.ts';
import type {
  Authorization,
  AuthorizationCode,
  Ended,
  IssuedCertificate,
  Lease,
  NewToken,
  PortalStore,
  StoredToken,
} from '../../portal/interfaces/store.ts';

type Row = Readonly<Record<string, string | number | null>>;
type ReserveInput = Parameters<PortalStore['reserve']>[0];

const text = (row: Row, column: string): string => String(row[column]);
const date = (row: Row, column: string): Date => new Date(Number(row[column]));

/** The portal's tables in a SQLite database that is open. */
export class SqlitePortalStore implements PortalStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  close(): void {
    this.#database.close();
  }

  findPasswordHash(user: string): string | undefined {
    const row = this.#one('SELECT password_hash FROM account WHERE user = ?', user);
    return row && text(row, 'password_hash');
  }

  setAccount(user: string, passwordHash: string): void {
    this.#transaction(() => {
      this.#run('DELETE FROM account');
      this.#run('INSERT INTO account VALUES (?, ?)', user, passwordHash);
      this.#run('DELETE FROM session WHERE user <> ?', user);
    });
  }

  findSession(idHash: string, now: Date): string | undefined {
    const row = this.#one(
      'SELECT user FROM session WHERE id_hash = ? AND expires_at > ?',
      idHash,
      now.getTime(),
    );
    return row && text(row, 'user');
  }

  addSession(idHash: string, user: string, expiresAt: Date): void {
    this.#run('INSERT INTO session VALUES (?, ?, ?)', idHash, user, expiresAt.getTime());
  }

  removeSession(idHash: string): void {
    this.#run('DELETE FROM session WHERE id_hash = ?', idHash);
  }

  addAuthorization(authorization: Authorization, code: AuthorizationCode): void {
    this.#transaction(() => {
      this.#run(
        'INSERT INTO authorization VALUES (?, ?, ?, ?, ?)',
        authorization.id,
        authorization.clientId,
        authorization.user,
        authorization.createdAt.getTime(),
        authorization.expiresAt.getTime(),
      );
      this.#run(
        'INSERT INTO code VALUES (?, ?, ?, ?, ?, ?, 0)',
        code.hash,
        code.authorizationId,
        code.clientId,
        code.redirectUri,
        code.challenge,
        code.expiresAt.getTime(),
      );
    });
  }

  findAuthorization(id: string): Authorization | undefined {
    const row = this.#one('SELECT * FROM authorization WHERE id = ?', id);
    return (
      row && {
        id,
        clientId: text(row, 'client_id'),
        user: text(row, 'user'),
        createdAt: date(row, 'created_at'),
        expiresAt: date(row, 'expires_at'),
      }
    );
  }

  findCode(hash: string): (AuthorizationCode & { readonly usedBefore: boolean }) | undefined {
    const row = this.#one('SELECT * FROM code WHERE hash = ?', hash);
    return (
      row && {
        hash,
        authorizationId: text(row, 'authorization_id'),
        clientId: text(row, 'client_id'),
        redirectUri: text(row, 'redirect_uri'),
        challenge: text(row, 'challenge'),
        expiresAt: date(row, 'expires_at'),
        usedBefore: row.is_used === 1,
      }
    );
  }

  useCode(hash: string): boolean {
    return this.#run('UPDATE code SET is_used = 1 WHERE hash = ? AND is_used = 0', hash) === 1;
  }

  useRefreshToken(hash: string): boolean {
    return (
      this.#run(
        "UPDATE token SET is_used = 1 WHERE hash = ? AND kind = 'refresh' AND is_used = 0",
        hash,
      ) === 1
    );
  }

  addTokens(authorizationId: string, tokens: readonly NewToken[]): void {
    this.#transaction(() => {
      for (const { hash, kind, expiresAt } of tokens) {
        this.#run(
          'INSERT INTO token VALUES (?, ?, ?, ?, 0)',
          hash,
          authorizationId,
          kind,
          expiresAt.getTime(),
        );
      }
    });
  }

  findToken(hash: string): StoredToken | undefined {
    const row = this.#one('SELECT * FROM token WHERE hash = ?', hash);
    return (
      row && {
        kind: row.kind === 'access' ? 'access' : 'refresh',
        authorizationId: text(row, 'authorization_id'),
        expiresAt: date(row, 'expires_at'),
        usedBefore: row.is_used === 1,
      }
    );
  }

  removeAuthorization(id: string): void {
    this.#run('DELETE FROM authorization WHERE id = ?', id);
  }

  reserve({ owner, anonymous, first, last }: ReserveInput): number | 'full' {
    return this.#transaction(() => {
      const held = this.#one('SELECT address_offset FROM lease WHERE owner = ?', owner);
      if (held !== undefined) return Number(held.address_offset);
      const offset = this.#lowestFreeOffset(first, last);
      if (offset === undefined) return 'full';
      this.#run('INSERT INTO lease VALUES (?, ?, ?)', owner, anonymous ? 1 : 0, offset);
      return offset;
    });
  }

  certify(owner: string, certificate: IssuedCertificate): readonly Ended[] {
    return this.#transaction(() => {
      const ended = this.#endCertificates(
        { keepLeaseOf: owner },
        'owner = ? OR authorization_id = ?',
        owner,
        certificate.authorizationId,
      );
      this.#run(
        'INSERT INTO certificate VALUES (?, ?, ?, ?, ?)',
        certificate.commonName,
        owner,
        certificate.authorizationId,
        certificate.issuedAt.getTime(),
        certificate.expiresAt.getTime(),
      );
      return ended;
    });
  }

  list(): readonly Lease[] {
    return this.#all(
      `SELECT lease.owner, is_anonymous, address_offset, common_name, authorization_id, issued_at, expires_at
       FROM lease LEFT JOIN certificate ON certificate.owner = lease.owner ORDER BY address_offset`,
    ).map((row) => ({
      owner: text(row, 'owner'),
      anonymous: row.is_anonymous === 1,
      offset: Number(row.address_offset),
      certificate: row.common_name === null ? undefined : certificateOf(row),
    }));
  }

  endAuthorization(authorizationId: string): readonly Ended[] {
    return this.#transaction(() =>
      this.#endCertificates({}, 'authorization_id = ?', authorizationId),
    );
  }

  endOwner(owner: string): readonly Ended[] | undefined {
    return this.#transaction(() =>
      this.#one('SELECT owner FROM lease WHERE owner = ?', owner) === undefined
        ? undefined
        : this.#endCertificates({}, 'owner = ?', owner),
    );
  }

  removeOwner(owner: string): void {
    this.#run('DELETE FROM lease WHERE owner = ?', owner);
  }

  purge(now: Date): readonly Ended[] {
    const at = now.getTime();
    return this.#transaction(() => {
      const ended = this.#endCertificates({}, 'expires_at <= ?', at);
      // An authorization whose code nobody fetched holds nothing.
      this.#run(
        'DELETE FROM authorization WHERE id IN (SELECT authorization_id FROM code WHERE is_used = 0 AND expires_at <= ?)',
        at,
      );
      this.#run('DELETE FROM authorization WHERE expires_at <= ?', at);
      this.#run("DELETE FROM token WHERE kind = 'access' AND expires_at <= ?", at);
      this.#run('DELETE FROM session WHERE expires_at <= ?', at);
      return ended;
    });
  }

  #lowestFreeOffset(first: number, last: number): number | undefined {
    let free = first;
    for (const row of this.#all(
      'SELECT address_offset FROM lease WHERE address_offset >= ? ORDER BY address_offset',
      first,
    )) {
      if (Number(row.address_offset) !== free) break;
      free += 1;
    }
    return free <= last ? free : undefined;
  }

  #endCertificates(
    options: { readonly keepLeaseOf?: string },
    where: string,
    ...values: SQLInputValue[]
  ): Ended[] {
    const ended = this.#all(
      `DELETE FROM certificate WHERE ${where} RETURNING owner, common_name`,
      ...values,
    ).map((row) => ({ owner: text(row, 'owner'), commonName: text(row, 'common_name') }));
    for (const { owner } of ended) {
      if (owner === options.keepLeaseOf) continue;
      this.#run('DELETE FROM lease WHERE owner = ? AND is_anonymous = 1', owner);
    }
    return ended;
  }

  #transaction<T>(work: () => T): T {
    return this.#guard(() => {
      this.#database.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        this.#database.exec('COMMIT');
        return result;
      } catch (error) {
        this.#database.exec('ROLLBACK');
        throw error;
      }
    });
  }

  #one(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#guard(() => this.#database.prepare(sql).get(...values) as Row | undefined);
  }

  #all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#guard(() => this.#database.prepare(sql).all(...values) as Row[]);
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return this.#guard(() => Number(this.#database.prepare(sql).run(...values).changes));
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      if (cause instanceof V6Error) throw cause;
      throw new V6Error('V6_DATABASE', "The portal's database refused a statement", { cause });
    }
  }
}

function certificateOf(row: Row): IssuedCertificate {
  return {
    commonName: text(row, 'common_name'),
    authorizationId: text(row, 'authorization_id'),
    issuedAt: date(row, 'issued_at'),
    expiresAt: date(row, 'expires_at'),
  };
}
