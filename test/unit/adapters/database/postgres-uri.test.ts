import { describe, expect, it } from 'vitest';
import { isPostgresUri, parsePostgresUri } from '../../../../src/adapters/database/postgres-uri.ts';
import { isV6Error } from '../../../../src/core/errors.ts';

describe('the uri of a PostgreSQL database', () => {
  it.each(['postgresql', 'postgres', 'postgresql+psycopg2', 'postgresql+asyncpg'])(
    'is known as %s://',
    (scheme) => {
      const uri = `${scheme}://v6:p%40ss%2Fword@db.example:6432/server`;
      expect(isPostgresUri(uri)).toBe(true);
      expect(parsePostgresUri(uri)).toMatchObject({
        host: 'db.example',
        port: 6432,
        user: 'v6',
        password: 'p@ss/word',
        database: 'server',
        tls: false,
        label: 'db.example:6432/server',
      });
    },
  );

  it('has defaults, and a unix socket in its query as libpq has it', () => {
    expect(parsePostgresUri('postgresql:///server')).toMatchObject({
      host: 'localhost',
      port: 5432,
      user: undefined,
      password: undefined,
    });
    const socket = parsePostgresUri('postgresql://v6@/server?host=/var/run/postgresql');
    expect(socket.host).toBe('/var/run/postgresql');
    expect(parsePostgresUri('postgresql://v6@[::1]:1/x').label).toBe('[::1]:1/x');
  });

  it('says how TLS is checked', () => {
    const tls = (mode: string) => parsePostgresUri(`postgresql://h/d?sslmode=${mode}`).tls;
    expect(tls('disable')).toBe(false);
    expect(tls('require')).toStrictEqual({ rejectUnauthorized: false, isNameFree: true });
    expect(tls('verify-ca')).toStrictEqual({ rejectUnauthorized: true, isNameFree: true });
    expect(tls('verify-full')).toStrictEqual({ rejectUnauthorized: true, isNameFree: false });
  });

  it.each([
    'postgresql://v6:hunter2@host',
    'postgresql://v6:hunter2@host:99999/db',
    'postgresql://v6:hunter2@host/db?sslmode=prefer',
    'postgresql://v6:hunter2@host/db?sslrootcert=/no/such/file&sslmode=verify-ca',
    'postgresql://v6:hunter2@host/db?options=-c',
    'postgresql://v6:hunter2%zz@host/db',
  ])('is refused without its password: %s', (uri) => {
    let error: unknown;
    try {
      parsePostgresUri(uri);
    } catch (thrown) {
      error = thrown;
    }
    if (!isV6Error(error, 'V6_CONFIG_INVALID')) throw new Error('not refused');
    expect(`${error.message} ${error.hints.join()}`).not.toContain('hunter2');
  });
});
