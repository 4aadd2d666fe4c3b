import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isV6Error } from '../../core/errors.ts';
import type { ReplicaRecord, ReplicaStore } from '../../server/interfaces/replica-store.ts';
import { locked } from './listing.ts';
import { isSqlite } from './migrations/tables.ts';
import { touchAccount } from './nodes.ts';
import type { Schema } from './schema.ts';
import { inLockedTransaction } from './transactions.ts';

/** Milliseconds since 1970, by the one clock that all replicas share. */
const now = (db: Kysely<Schema>): RawBuilder<number> =>
  isSqlite(db)
    ? sql<number>`cast(unixepoch('subsec') * 1000 as integer)`
    : sql<number>`cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`;

const OFFLINE = { online: 0, config: '[]' } as const;

export function replicaStore(db: Kysely<Schema>): ReplicaStore {
  return {
    join: (replica, { isAlone }) =>
      inLockedTransaction(db, async (trx) => {
        if (isAlone) {
          await trx.deleteFrom('replica').execute();
          await trx.updateTable('node').set(OFFLINE).where('online', '=', 1).execute();
        }
        await makeKnown(trx, replica);
      }),

    beat: async ({ id }) => {
      const { numUpdatedRows } = await db
        .updateTable('replica')
        .set({ seen_at: now(db) })
        .where('id', '=', id)
        .executeTakeFirstOrThrow();
      return numUpdatedRows > 0n;
    },

    connect: async (replica, nodeId, at) => {
      const work = () => inLockedTransaction(db, (trx) => connect(trx, replica, { nodeId, at }));
      try {
        return await work();
      } catch (error) {
        // Others forgot this replica between two statements: now it is made known again.
        if (!isV6Error(error, 'V6_REQUEST_CONFLICT')) throw error;
        return work();
      }
    },

    disconnect: ({ id }, nodeId) =>
      inLockedTransaction(db, async (trx) => {
        const node = await lockNode(trx, nodeId);
        await trx
          .deleteFrom('replica_node')
          .where('replica_id', '=', id)
          .where('node_id', '=', nodeId)
          .execute();
        if (node === undefined) return false;
        return (await endPresence(trx, [nodeId])).length > 0;
      }),

    nodesOf: async ({ id }) => {
      const rows = await db
        .selectFrom('replica_node')
        .select('node_id')
        .where('replica_id', '=', id)
        .execute();
      return rows.map((row) => row.node_id);
    },

    living: async (silentMs) => {
      const rows = await db
        .selectFrom('replica')
        .select(['id', 'key_mark as keyMark'])
        .where('seen_at', '>=', sql<number>`${now(db)} - cast(${silentMs} as integer)`)
        .execute();
      return rows;
    },

    forgetSilent: (silentMs) => inLockedTransaction(db, (trx) => forgetSilent(trx, silentMs)),
  };
}

/** What comes first in every transaction about a node: who holds it decides alone. */
const lockNode = (db: Kysely<Schema>, id: number) =>
  locked(
    db,
    db.selectFrom('node').select(['id', 'online']).where('id', '=', id),
  ).executeTakeFirst();

async function connect(
  db: Kysely<Schema>,
  replica: ReplicaRecord,
  { nodeId, at }: { readonly nodeId: number; readonly at: Date },
): Promise<boolean> {
  const node = await lockNode(db, nodeId);
  if (node === undefined) return false;
  await makeKnown(db, replica);
  await db
    .insertInto('replica_node')
    .values({ replica_id: replica.id, node_id: nodeId })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  if (node.online === 0)
    await db.updateTable('node').set({ online: 1 }).where('id', '=', nodeId).execute();
  await touchAccount(db, nodeId, { lastSeenAt: at });
  return node.online === 0;
}

async function makeKnown(db: Kysely<Schema>, { id, keyMark }: ReplicaRecord): Promise<void> {
  await db
    .insertInto('replica')
    .values({ id, seen_at: now(db), key_mark: keyMark })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

async function forgetSilent(
  db: Kysely<Schema>,
  silentMs: number,
): ReturnType<ReplicaStore['forgetSilent']> {
  // Of several replicas that see it, the first one has it; the others wait here and find nothing.
  const silent = await locked(
    db,
    db
      .selectFrom('replica')
      .select('id')
      .where('seen_at', '<', sql<number>`${now(db)} - cast(${silentMs} as integer)`),
  ).execute();
  if (silent.length === 0) return { replicas: 0, nodeIds: [] };
  const ids = silent.map((row) => row.id);
  const theirs = db.selectFrom('replica_node').select('node_id').where('replica_id', 'in', ids);
  const nodes = await locked(
    db,
    db.selectFrom('node').select('id').where('id', 'in', theirs).orderBy('id'),
  ).execute();
  await db.deleteFrom('replica').where('id', 'in', ids).execute();
  const nodeIds = await endPresence(
    db,
    nodes.map((row) => row.id),
  );
  return { replicas: ids.length, nodeIds };
}

/** Of these nodes, whose rows are locked: those that are offline now, because no replica has them. */
async function endPresence(db: Kysely<Schema>, ids: readonly number[]): Promise<readonly number[]> {
  if (ids.length === 0) return [];
  const ended = await db
    .updateTable('node')
    .set(OFFLINE)
    .where('node.id', 'in', ids)
    .where('node.online', '=', 1)
    .where((eb) => {
      const theirs = eb
        .selectFrom('replica_node')
        .select('replica_node.node_id')
        .whereRef('replica_node.node_id', '=', 'node.id');
      return eb.not(eb.exists(theirs));
    })
    .returning('node.id')
    .execute();
  return ended.map((row) => row.id);
}
