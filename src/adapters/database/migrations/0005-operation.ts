import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';
import { addIndex } from './tables.ts';

/** When the data of a run was blanked, and an index from which the status of a task is read without its runs. */
export const operation: Migration = {
  up: async (db: Kysely<unknown>) => {
    await db.schema.alterTable('run').addColumn('cleanup_at', 'text').execute();
    await addIndex(db, 'run', ['task_id', 'status', 'finished_at']);
  },
};
