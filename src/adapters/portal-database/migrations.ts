/**
 * One entry per version of the portal's database, applied in order; `PRAGMA user_version` counts them. Never change one
 * that was released. Times are milliseconds since 1970, UTC.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE account (user TEXT PRIMARY KEY, password_hash TEXT NOT NULL) STRICT;
  CREATE TABLE session (id_hash TEXT PRIMARY KEY, user TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT;
  CREATE TABLE authorization (
    id TEXT PRIMARY KEY, client_id TEXT NOT NULL, user TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE code (
    hash TEXT PRIMARY KEY, authorization_id TEXT NOT NULL REFERENCES authorization ON DELETE CASCADE,
    client_id TEXT NOT NULL, redirect_uri TEXT NOT NULL, challenge TEXT NOT NULL,
    expires_at INTEGER NOT NULL, is_used INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX code_authorization ON code (authorization_id);
  CREATE TABLE token (
    hash TEXT PRIMARY KEY, authorization_id TEXT NOT NULL REFERENCES authorization ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('access', 'refresh')),
    expires_at INTEGER NOT NULL, is_used INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX token_authorization ON token (authorization_id);
  CREATE TABLE lease (
    owner TEXT PRIMARY KEY, is_anonymous INTEGER NOT NULL, address_offset INTEGER NOT NULL UNIQUE
  ) STRICT;
  CREATE TABLE certificate (
    common_name TEXT PRIMARY KEY, owner TEXT NOT NULL UNIQUE REFERENCES lease ON DELETE CASCADE,
    authorization_id TEXT NOT NULL, issued_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX certificate_authorization ON certificate (authorization_id);
  `,
];
