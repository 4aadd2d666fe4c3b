import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { openStore } from '../../src/adapters/database/open.ts';
import { FIXED_ROLES } from '../../src/server/auth/roles.ts';
import { inTempFolder } from '../support/temp-folder.ts';

/** Table, and the columns by which rows of it are looked for while a server works. */
const LOOKED_FOR: readonly (readonly [table: string, columns: readonly string[]])[] = [
  ['node', ['api_key_digest']],
  ['node', ['organization_id', 'collaboration_id']],
  ['node', ['collaboration_id']],
  ['user', ['username']],
  ['user', ['organization_id']],
  ['member', ['organization_id', 'collaboration_id']],
  ['member', ['collaboration_id']],
  ['task', ['collaboration_id']],
  ['task', ['parent_id']],
  ['run', ['task_id']],
  ['run', ['organization_id', 'finished_at']],
  ['port', ['run_id']],
  ['port', ['node_id', 'protocol', 'port']],
  ['session', ['account_id']],
];

describe('upstream weakness: the database has few constraints and no index beyond its keys', () => {
  it('ours reads no whole table for what a login, a poll or an address looks for', () =>
    inTempFolder(async (folder) => {
      const uri = 'sqlite:///server.sqlite';
      await (await openStore({ uri, dataDir: folder, roles: FIXED_ROLES })).close();
      const database = new DatabaseSync(path.join(folder, 'server.sqlite'), { readOnly: true });
      try {
        for (const [table, columns] of LOOKED_FOR) {
          const where = columns.map((column) => `"${column}" = 1`).join(' AND ');
          const plan = database
            .prepare(`EXPLAIN QUERY PLAN SELECT * FROM "${table}" WHERE ${where}`)
            .all()
            .map(({ detail }) => String(detail));
          expect([table, columns, plan.join()]).toStrictEqual([
            table,
            columns,
            expect.stringMatching(/^SEARCH \w+ USING (COVERING )?INDEX/),
          ]);
        }
      } finally {
        database.close();
      }
    }));

  it('ours refuses a row whose relations are not there', () =>
    inTempFolder(async (folder) => {
      const store = await openStore({
        uri: 'sqlite:///server.sqlite',
        dataDir: folder,
        roles: FIXED_ROLES,
      });
      try {
        const stray = { runId: 4711, nodeId: 4711, port: 50_000, protocol: 'tcp' } as const;
        await expect(store.ports.create({ ...stray, label: null })).rejects.toMatchObject({
          code: expect.stringMatching(/^V6_/),
        });
        const node = {
          name: 'nobody’s',
          organizationId: 4711,
          collaborationId: 4711,
          apiKeyDigest: 'x',
          vpnId: 'x',
        };
        await expect(store.nodes.create(node)).rejects.toMatchObject({
          code: expect.stringMatching(/^V6_/),
        });
      } finally {
        await store.close();
      }
    }));
});
