import type { Kysely } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { V6Error } from '../../core/errors.ts';
import { initial } from './migrations/0001-initial.ts';
import { replicas } from './migrations/0002-replicas.ts';
import { rulesAndStudies } from './migrations/0003-rules-and-studies.ts';
import { accounts } from './migrations/0004-accounts.ts';
import { operation } from './migrations/0005-operation.ts';
import { vpnLeases } from './migrations/0006-vpn-leases.ts';
import type { Schema } from './schema.ts';

/** All changes of the schema, oldest first. A released one is never edited: add another. They stand here and not in files, so that they can be bundled. */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-initial': initial,
  '0002-replicas': replicas,
  '0003-rules-and-studies': rulesAndStudies,
  '0004-accounts': accounts,
  '0005-operation': operation,
  '0006-vpn-leases': vpnLeases,
};

/** Brings the schema up to date; nothing to do is fine. Throws V6_DATABASE, also for a database that a newer v6 wrote. */
export async function migrate(db: Kysely<Schema>): Promise<readonly string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } });
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) {
    const reason = error instanceof Error ? error.message : 'no reason given';
    throw new V6Error('V6_DATABASE', `The database could not be brought up to date: ${reason}`, {
      cause: error,
      hints: ['A database that a newer version of v6 has used needs that version.'],
    });
  }
  return (results ?? []).map((result) => result.migrationName);
}
