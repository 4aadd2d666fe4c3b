import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type PythonProcess, startPython } from './python-venv.ts';
import { caller, freePort } from './server-process.ts';
import { until } from './wait.ts';

export interface PythonServer {
  /** With api path. */
  readonly url: string;
  readonly port: number;
  output(): string;
  stop(): Promise<void>;
}

/**
 * The real Python server (vantage6-server 4.15.2) on loopback, with SQLite, started as a developer starts it (test/python/server.py):
 * fit for contracts, not for figures. User `root` has the password `root`. Its files are below `folder`.
 */
export async function startPythonServer(folder: string): Promise<PythonServer> {
  const port = await freePort();
  const home = path.join(folder, 'python-server');
  await mkdir(home, { recursive: true });
  const config = path.join(home, 'peer.yaml');
  const lines = [
    'description: python peer',
    'ip: 127.0.0.1',
    `port: ${port}`,
    'api_path: /api',
    `uri: sqlite:///${path.join(home, 'server.sqlite')}`,
    'allow_drop_all: true',
    `jwt_secret_key: ${randomBytes(32).toString('hex')}`,
    'server_name: peer',
    'logging: {level: WARNING, use_console: true, backup_count: 2, max_size: 4096, format: "%(asctime)s %(levelname)s %(message)s", datefmt: "%H:%M:%S", file: server.log}',
  ];
  await writeFile(config, `${lines.join('\n')}\n`, { mode: 0o600 });
  const args = [config, '127.0.0.1', String(port)];
  const process = await startPython('server.py', { home, args });
  const url = `http://127.0.0.1:${port}/api`;
  await ready(process, url).catch(async (error: unknown) => {
    await process.stop();
    throw error;
  });
  return { url, port, output: () => process.output(), stop: () => process.stop() };
}

async function ready(process: PythonProcess, url: string): Promise<void> {
  const version = async () => {
    if (process.child.exitCode !== null) return true;
    return (await caller(url)('GET', '/version')).status === 200;
  };
  await until('the Python server answers', 60_000, version);
  if (process.child.exitCode !== null)
    throw new Error(`the Python server has ended: ${process.output()}`);
}
