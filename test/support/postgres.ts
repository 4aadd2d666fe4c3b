import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { freePort } from './server-process.ts';
import { until } from './wait.ts';

const INSTALLED = '/usr/lib/postgresql';
const START_MS = 30_000;
/** Nobody keeps this data: what makes commits survive a power cut is off. What a crash of the server must not lose is on. */
const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'fsync=off',
  'full_page_writes=off',
  'shared_buffers=32MB',
  'log_min_messages=warning',
];

export interface TestPostgres {
  readonly port: number;
  /** Of the user of all databases; no message or log may hold it. */
  readonly password: string;
  /** Makes an empty database, or a copy of one that nobody uses, and gives its `postgresql://…`. */
  newDatabase(copyOf?: string): Promise<string>;
  /** Ends the server as a crash does (`immediate`) or in order (`fast`); its data stay. */
  stop(how: 'immediate' | 'fast'): Promise<void>;
  start(): Promise<void>;
  /** One query as the owner of everything. */
  query(text: string, values?: readonly unknown[], uri?: string): Promise<pg.QueryResult>;
  /** Stops it and removes its files. */
  remove(): Promise<void>;
}

/** Debian's PostgreSQL with a folder and a loopback port of its own, never as root. Fails when it is not installed. */
export async function startPostgres(): Promise<TestPostgres> {
  const programs = installedPrograms();
  const owner = unprivileged();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'v6-postgres-'));
  const data = path.join(folder, 'data');
  const password = randomBytes(12).toString('base64url');
  const passwordFile = path.join(folder, 'password');
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (owner !== undefined)
    for (const item of [folder, passwordFile]) chownSync(item, owner.uid, owner.gid);
  const port = await freePort();
  const options = { cwd: folder, ...owner };
  execFileSync(path.join(programs, 'initdb'), ['-D', data, '--pwfile', passwordFile, ...INITDB], {
    ...options,
    stdio: 'pipe',
    timeout: START_MS,
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
  });
  const server = serverOf({
    program: path.join(programs, 'postgres'),
    data,
    folder,
    port,
    options,
  });
  const uri = (database: string): string =>
    `postgresql://v6:${password}@127.0.0.1:${port}/${database}`;
  const query: TestPostgres['query'] = async (text, values = [], at = uri('postgres')) => {
    const client = new pg.Client({ connectionString: at });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await client.query(text, [...values]);
    } finally {
      await client.end();
    }
  };
  const start = async (): Promise<void> => {
    server.start();
    await until('PostgreSQL answers', START_MS, () => {
      server.assertRuns();
      return query('select 1');
    });
  };
  let databases = 0;
  const remove = async (): Promise<void> => {
    await server.stop('SIGQUIT');
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    port,
    password,
    newDatabase: async (copyOf) => {
      databases += 1;
      const template = copyOf === undefined ? '' : ` template ${path.basename(copyOf)}`;
      await query(`create database test_${databases}${template}`);
      return uri(`test_${databases}`);
    },
    stop: (how) => server.stop(how === 'fast' ? 'SIGINT' : 'SIGQUIT'),
    start,
    query,
    remove,
  };
}

const INITDB = '-U v6 -A scram-sha-256 -E UTF8 --locale C.UTF-8 --no-sync'.split(' ');

function installedPrograms(): string {
  const versions = existsSync(INSTALLED) ? readdirSync(INSTALLED) : [];
  const newest = versions
    .filter((version) => existsSync(path.join(INSTALLED, version, 'bin/initdb')))
    .toSorted((a, b) => Number(b) - Number(a))[0];
  if (newest === undefined)
    throw new Error(`no PostgreSQL below ${INSTALLED}: npm test installs Debian's postgresql`);
  return path.join(INSTALLED, newest, 'bin');
}

/** PostgreSQL refuses to run as root: then as the user that Debian's package made for it. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string): number =>
    Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

function serverOf(input: {
  readonly program: string;
  readonly data: string;
  readonly folder: string;
  readonly port: number;
  readonly options: { readonly cwd: string };
}) {
  const { program, data, folder, port, options } = input;
  let child: ChildProcess | undefined;
  let output = '';
  const kill = (): void => {
    child?.kill('SIGQUIT');
  };
  return {
    start: (): void => {
      const settings = [...SETTINGS, `port=${port}`, `unix_socket_directories=${folder}`];
      child = spawn(program, ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], {
        ...options,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      for (const stream of [child.stdout, child.stderr])
        stream?.on('data', (chunk: Buffer) => {
          output = `${output}${chunk.toString()}`.slice(-10_000);
        });
      process.once('exit', kill);
    },
    assertRuns: (): void => {
      if (child?.exitCode !== null) throw new Error(`PostgreSQL has ended: ${output}`);
    },
    stop: async (signal: 'SIGINT' | 'SIGQUIT'): Promise<void> => {
      process.removeListener('exit', kill);
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill(signal);
      const killer = setTimeout(() => child?.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(killer);
    },
  };
}
