import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { addressOf, type BenchNode } from './peer.ts';

/** Nodes of small databases have keys of their own; hashing costs 0.23 s each, and with many nobody logs in. */
const WITH_KEYS = 50;

/** Organizations, one collaboration and its nodes, straight into upstream's tables (vantage6 4.15): over REST they take 0.4 s each. */
export function insertParties(input: {
  readonly database: string;
  readonly nodes: number;
  readonly home: string;
}): { readonly collaboration: number; readonly nodes: readonly Omit<BenchNode, 'token'>[] } {
  const keys = Array.from({ length: Math.min(input.nodes, WITH_KEYS) }, () => randomUUID());
  const hasKeys = input.nodes <= WITH_KEYS;
  const hashes = hash(input.home, hasKeys ? keys : keys.slice(0, 1));
  const db = new DatabaseSync(input.database, { timeout: 30_000 });
  const insert = (text: string, ...values: (string | number)[]): number =>
    Number(db.prepare(text).run(...values).lastInsertRowid);
  db.exec('begin immediate');
  const collaboration = insert("insert into collaboration (name, encrypted) values ('bench', 0)");
  const nodes: Omit<BenchNode, 'token'>[] = [];
  for (let at = 0; at < input.nodes; at += 1) {
    const organization = insert('insert into organization (name) values (?)', `bench-${at + 1}`);
    insert(
      'insert into "Member" (organization_id, collaboration_id) values (?, ?)',
      organization,
      collaboration,
    );
    const id = insert("insert into authenticatable (type, status) values ('node', 'online')");
    insert(
      'insert into node (id, name, api_key, collaboration_id, organization_id) values (?, ?, ?, ?, ?)',
      id,
      `bench-node-${at + 1}`,
      (hasKeys ? hashes[at] : hashes[0]) ?? '',
      collaboration,
      organization,
    );
    nodes.push({ id, organization, apiKey: hasKeys ? keys[at] : undefined });
  }
  db.exec('commit');
  db.close();
  return { collaboration, nodes };
}

/** As `addPorts` of our server. */
export function addPythonPorts(database: string, task: number, perRun: number): void {
  const db = new DatabaseSync(database, { timeout: 30_000 });
  db.exec('begin immediate');
  const nodes = db.prepare('select id from node order by id').all() as { id: number }[];
  const online = db.prepare("update authenticatable set status = 'online', ip = ? where id = ?");
  for (const [at, { id }] of nodes.entries()) online.run(addressOf(at + 256), id);
  const runs = db.prepare('select id from run where task_id = ? order by id').all(task) as {
    id: number;
  }[];
  const insert = db.prepare(
    "insert into algorithmport (port, run_id, label) values (?, ?, 'bench')",
  );
  for (const { id } of runs) for (let at = 0; at < perRun; at += 1) insert.run(49_152 + at, id);
  db.prepare("update run set status = 'active', started_at = assigned_at where task_id = ?").run(
    task,
  );
  db.exec('commit');
  db.close();
}

/** bcrypt as upstream stores API keys, by its own library. */
function hash(home: string, keys: readonly string[]): string[] {
  const script =
    'import sys, bcrypt\nfor line in sys.stdin: print(bcrypt.hashpw(line.strip().encode(), bcrypt.gensalt()).decode())';
  const { status, stdout } = spawnSync(path.join(home, 'bin/python'), ['-c', script], {
    input: keys.join('\n'),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error('bcrypt of the Python packages does not run.');
  return stdout.trim().split('\n');
}
