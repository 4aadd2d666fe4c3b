import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, openSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openStore } from '../src/adapters/database/open.ts';
import { systemClock } from '../src/core/clock.ts';
import { apiKeyDigest } from '../src/server/auth/api-keys.ts';
import { hashPassword } from '../src/server/auth/passwords.ts';
import { FIXED_ROLES } from '../src/server/auth/roles.ts';
import { loadServerKeys } from '../src/server/auth/secret.ts';
import { createTokens } from '../src/server/auth/tokens.ts';
import type { Store } from '../src/server/interfaces/store.ts';
import { addressOf, type BenchNode, memoryOf, type Peer, untilReady } from './peer.ts';

const ROOT = path.join(import.meta.dirname, '..');
const SECRET = 'a-secret-that-only-the-benchmark-uses';

interface OursInput {
  readonly folder: string;
  readonly port: number;
  readonly nodes: number;
  /** Run from the sources and not from the bundle: for work on the server itself. */
  readonly fromSources: boolean;
}

/** `v6 server run` as a process of its own on a new database with `nodes` organizations in one collaboration. */
export async function startOurs({ folder, port, nodes, fromSources }: OursInput): Promise<Peer> {
  const dataDir = path.join(folder, '.local/share/vantage6/server/bench');
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const seeded = await seed(dataDir, nodes);
  const config = path.join(folder, 'bench.yaml');
  writeFileSync(
    config,
    // One algorithm that asks 500 times a second is nobody's use; the limit stands in its way, and not in that of the others.
    `uri: sqlite:///bench.sqlite\nip: 127.0.0.1\nport: ${port}\njwt_secret_key: ${SECRET}\nrate_limits: {requests_per_minute: 1000000}\n`,
  );
  const program = fromSources ? 'bin/dev.js' : 'dist/bundle/bin/run.js';
  const log = openSync(path.join(folder, 'server.log'), 'w');
  const child = spawn(
    process.execPath,
    [path.join(ROOT, program), 'server', 'run', '--user', '--config', config],
    {
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        NODE_NO_WARNINGS: '1',
        // As in our image and our unit file.
        MALLOC_ARENA_MAX: '1',
        // For profiles of the server: --cpu-prof, --heapsnapshot-signal …
        NODE_OPTIONS: process.env.V6_BENCH_NODE_OPTIONS ?? '',
      },
      stdio: ['ignore', log, log],
    },
  );
  const origin = `http://127.0.0.1:${port}`;
  try {
    await untilReady(origin, 30_000);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  return {
    name: 'v6',
    origin,
    ...seeded,
    addPorts: (task, perRun) => addPorts(path.join(dataDir, 'bench.sqlite'), task, perRun),
    memory: () => memoryOf([child.pid ?? 0]),
    stop: () => stopChild(child),
  };
}

/** SIGTERM, and SIGKILL after 20 s; a child that has ended already, perhaps by a signal to all of the group, is no reason to wait. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await exited;
  clearTimeout(kill);
}

async function seed(dataDir: string, count: number) {
  const keys = loadServerKeys(dataDir, SECRET);
  const store = await openStore({ uri: 'sqlite:///bench.sqlite', dataDir, roles: FIXED_ROLES });
  const tokens = createTokens({
    key: keys.jwt,
    accessSeconds: 6 * 3600,
    refreshSeconds: 48 * 3600,
    clock: systemClock,
  });
  try {
    const { collaboration, user, nodes } = await store.transaction((tx) =>
      seedParties(tx, { count, digestKey: keys.apiKey }),
    );
    const account = async (kind: 'user' | 'node', id: number): Promise<string> =>
      (await tokens.account({ kind, id, roles: [], generation: 1 })).access;
    const withTokens: BenchNode[] = [];
    for (const node of nodes) withTokens.push({ ...node, token: await account('node', node.id) });
    return { collaboration, nodes: withTokens, userToken: await account('user', user) };
  } finally {
    await store.close();
  }
}

async function seedParties(
  store: Store,
  { count, digestKey }: { readonly count: number; readonly digestKey: Buffer },
) {
  const collaboration = await store.collaborations.create({ name: 'bench', encrypted: false });
  const organizations: number[] = [];
  const empty = { domain: null, address1: null, address2: null, zipcode: null, country: null };
  for (let at = 1; at <= count; at += 1)
    organizations.push(
      await store.organizations.create({ name: `bench-${at}`, ...empty, publicKey: '' }),
    );
  await store.collaborations.setMembers(collaboration, organizations);
  const nodes: Omit<BenchNode, 'token'>[] = [];
  for (const [at, organization] of organizations.entries()) {
    const apiKey = randomUUID();
    const id = await store.nodes.create({
      name: `bench-node-${at + 1}`,
      organizationId: organization,
      collaborationId: collaboration,
      apiKeyDigest: apiKeyDigest(digestKey, apiKey),
      vpnId: randomUUID(),
    });
    nodes.push({ id, organization, apiKey });
  }
  const roles = (await store.users.roles()).filter((role) => role.name === 'Researcher');
  const user = await store.users.create({
    username: 'bench',
    firstname: 'Bench',
    lastname: 'Mark',
    email: 'bench@example.org',
    organizationId: organizations[0] ?? 0,
    passwordHash: await hashPassword(randomUUID()),
    roles: roles.map((role) => role.id),
  });
  return { collaboration, user, nodes };
}

/** Written beside the server: it takes many thousand requests otherwise, and nodes that are connected. */
function addPorts(file: string, task: number, perRun: number): void {
  const db = new DatabaseSync(file, { timeout: 10_000 });
  db.exec('begin immediate');
  const nodes = db.prepare('select id from node order by id').all() as { id: number }[];
  const online = db.prepare('update node set online = 1, ip = ? where id = ?');
  for (const [at, { id }] of nodes.entries()) online.run(addressOf(at + 256), id);
  const runs = db
    .prepare(
      'select run.id, node.id as node from run join node on node.organization_id = run.organization_id where task_id = ? order by run.id',
    )
    .all(task) as { id: number; node: number }[];
  const insert = db.prepare(
    "insert into port (run_id, node_id, protocol, port, label) values (?, ?, 'tcp', ?, 'bench')",
  );
  for (const run of runs)
    for (let at = 0; at < perRun; at += 1) insert.run(run.id, run.node, 49_152 + at);
  db.prepare("update run set status = 'active', started_at = assigned_at where task_id = ?").run(
    task,
  );
  db.exec('commit');
  db.close();
}
