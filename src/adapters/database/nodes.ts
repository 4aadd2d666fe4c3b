import type { Kysely } from 'kysely';
import type { ConfigEntry, NodeRecord } from '../../server/interfaces/records.ts';
import type { NodeChanges, NodeFilter, NodeStore } from '../../server/interfaces/store.ts';
import { dateOrNull, listPage, matches, NOTHING } from './listing.ts';
import type { Schema } from './schema.ts';

const SORTABLE = {
  id: 'node.id',
  name: 'node.name',
  last_seen: 'authenticatable.last_seen',
  status: 'node.online',
};

const select = (db: Kysely<Schema>) =>
  db
    .selectFrom('node')
    .innerJoin('authenticatable', 'authenticatable.id', 'node.id')
    .select([
      'node.id',
      'node.name',
      'node.organization_id',
      'node.collaboration_id',
      'node.ip',
      'node.online',
      'node.config',
      'node.vpn_id',
      'authenticatable.last_seen',
      'authenticatable.token_generation',
    ]);

type Row = Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirstOrThrow']>>;

const toRecord = (row: Row): NodeRecord => ({
  id: row.id,
  name: row.name,
  organizationId: row.organization_id,
  collaborationId: row.collaboration_id,
  ip: row.ip,
  isOnline: row.online === 1,
  lastSeenAt: dateOrNull(row.last_seen),
  config: JSON.parse(row.config) as readonly ConfigEntry[],
  vpnId: row.vpn_id,
  tokenGeneration: row.token_generation,
});

export function nodeStore(db: Kysely<Schema>): NodeStore {
  return {
    find: async (id) => {
      const row = await select(db).where('node.id', '=', id).executeTakeFirst();
      return row && toRecord(row);
    },

    findByKeyDigest: async (digest) => {
      const row = await select(db).where('node.api_key_digest', '=', digest).executeTakeFirst();
      return row && toRecord(row);
    },

    list: async (filter, page) => {
      const { rows, total } = await listPage(filtered(db, filter), {
        page,
        sortable: SORTABLE,
        id: { column: 'node.id', descending: false },
      });
      return { rows: rows.map(toRecord), total };
    },

    create: async (fields) => {
      const { id } = await db
        .insertInto('authenticatable')
        .values({ type: 'node', last_seen: null })
        .returning('id')
        .executeTakeFirstOrThrow();
      await db
        .insertInto('node')
        .values({
          id,
          name: fields.name,
          organization_id: fields.organizationId,
          collaboration_id: fields.collaborationId,
          api_key_digest: fields.apiKeyDigest,
          ip: null,
          vpn_id: fields.vpnId,
        })
        .execute();
      return id;
    },

    update: (id, changes) => updateNode(db, id, changes),

    remove: async (id) => {
      await db.deleteFrom('authenticatable').where('id', '=', id).execute();
    },
  };
}

function filtered(db: Kysely<Schema>, filter: NodeFilter): ReturnType<typeof select> {
  const { ids, name, organizationIds, collaborationIds, isOnline, ip, studyId, lastSeen } = filter;
  let out = select(db);
  if (ids !== undefined) out = out.where('node.id', 'in', orNothing(ids));
  if (name !== undefined) out = out.where(matches(db, 'node.name', name));
  if (organizationIds !== undefined)
    out = out.where('node.organization_id', 'in', orNothing(organizationIds));
  if (collaborationIds !== undefined)
    out = out.where('node.collaboration_id', 'in', orNothing(collaborationIds));
  if (isOnline !== undefined) out = out.where('node.online', '=', Number(isOnline));
  if (ip !== undefined) out = out.where('node.ip', '=', ip);
  if (studyId !== undefined) {
    out = out
      .where('node.organization_id', 'in', (eb) =>
        eb.selectFrom('study_member').select('organization_id').where('study_id', '=', studyId),
      )
      .where('node.collaboration_id', 'in', (eb) =>
        eb.selectFrom('study').select('study.collaboration_id').where('study.id', '=', studyId),
      );
  }
  if (lastSeen?.from !== undefined)
    out = out.where('authenticatable.last_seen', '>=', lastSeen.from.toISOString());
  if (lastSeen?.till !== undefined)
    out = out.where('authenticatable.last_seen', '<=', lastSeen.till.toISOString());
  return out;
}

async function updateNode(db: Kysely<Schema>, id: number, changes: NodeChanges): Promise<void> {
  const { name, collaborationId, ip, apiKeyDigest, isOnline, config, lastSeenAt, endTokens } =
    changes;
  const values = {
    ...(name === undefined ? {} : { name }),
    ...(collaborationId === undefined ? {} : { collaboration_id: collaborationId }),
    ...(ip === undefined ? {} : { ip }),
    ...(apiKeyDigest === undefined ? {} : { api_key_digest: apiKeyDigest }),
    ...(isOnline === undefined ? {} : { online: Number(isOnline) }),
    ...(config === undefined ? {} : { config: JSON.stringify(config) }),
  };
  if (Object.keys(values).length > 0)
    await db.updateTable('node').set(values).where('id', '=', id).execute();
  await touchAccount(db, id, { lastSeenAt, endTokens });
}

/** What users and nodes have in common. */
export async function touchAccount(
  db: Kysely<Schema>,
  id: number,
  changes: { readonly lastSeenAt?: Date | undefined; readonly endTokens?: true | undefined },
): Promise<void> {
  if (changes.lastSeenAt !== undefined) {
    await db
      .updateTable('authenticatable')
      .set({ last_seen: changes.lastSeenAt.toISOString() })
      .where('id', '=', id)
      .execute();
  }
  if (changes.endTokens === true) {
    await db
      .updateTable('authenticatable')
      .set((eb) => ({ token_generation: eb('token_generation', '+', 1) }))
      .where('id', '=', id)
      .execute();
  }
}

const orNothing = (ids: readonly number[]): readonly number[] => (ids.length > 0 ? ids : NOTHING);
