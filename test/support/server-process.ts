import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { io, type Socket } from 'socket.io-client';
import { requestJson } from '../../src/adapters/http/request.ts';
import { contextFromFlags } from '../../src/cli/context.ts';

const DEV = path.join(import.meta.dirname, '../../bin/dev.js');

export interface ServerProcess {
  /** With api path. */
  readonly url: string;
  readonly port: number;
  /** Everything it has written so far, both streams. */
  output(): string;
  /** SIGTERM; resolves with the exit status. */
  stop(): Promise<number>;
  /** SIGKILL, without a word to anybody. */
  kill(): Promise<void>;
  /** Resolves with the exit status; -1 when a signal ended it. */
  signal(name: NodeJS.Signals): Promise<number>;
}

/** `v6 server run` as a process of its own, on loopback, with all its files in `folder`. Resolves when it is ready. */
export async function startServerProcess(
  folder: string,
  options: { readonly port: number; readonly config?: string; readonly uri?: string },
): Promise<ServerProcess> {
  const file = path.join(folder, 'test.yaml');
  await writeFile(
    file,
    `uri: ${options.uri ?? 'sqlite:///test.sqlite'}\nip: 127.0.0.1\nport: ${options.port}\n${options.config ?? ''}`,
  );
  const env = { PATH: process.env.PATH, HOME: folder, NODE_NO_WARNINGS: '1' };
  const child = spawn(process.execPath, [DEV, 'server', 'run', '--user', '--config', file], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  const exited = once(child, 'exit').then(([code]) => (code as number | null) ?? -1);
  await ready(child, () => text);
  return {
    url: `http://127.0.0.1:${options.port}/api`,
    port: options.port,
    output: () => text,
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
    signal: (name) => {
      child.kill(name);
      return exited;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
      await removeRecord(
        contextFromFlags('server', { user: true, config: file }, env).runDir,
        child,
      );
    },
  };
}

/** What a killed server leaves for the next start to find. One that took its name meanwhile keeps its own. */
async function removeRecord(runDir: string, { pid }: ChildProcess): Promise<void> {
  const text = await readFile(`${runDir}/server.json`, 'utf8').catch(() => '{}');
  if ((JSON.parse(text) as { pid?: number }).pid !== pid) return;
  await rm(runDir, { recursive: true, force: true });
  for (const parent of [path.dirname(runDir), path.dirname(path.dirname(runDir))])
    await rmdir(parent).catch(() => undefined);
}

async function ready(child: ChildProcess, output: () => string): Promise<void> {
  let code: number | undefined;
  child.once('exit', (status) => {
    code = status ?? -1;
  });
  const end = performance.now() + 30_000;
  while (!output().includes('Server is ready')) {
    if (code !== undefined) throw new Error(`the server ended with ${code}: ${output()}`);
    if (performance.now() > end) {
      child.kill('SIGKILL');
      throw new Error(`the server is not ready: ${output()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Where a server that runs in `folder` keeps its data. */
export const serverData = (folder: string): string =>
  path.join(folder, '.local/share/vantage6/server/test');

/** What the first start wrote into the 0600 file. */
export async function rootPassword(folder: string): Promise<string> {
  return (await readFile(path.join(serverData(folder), 'root-password'), 'utf8')).trim();
}

export interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Requests in the name of one token. */
export function caller(url: string, token?: string) {
  return async (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', to: string, body?: unknown) => {
    const answer = await requestJson({
      method,
      url: `${url}${to}`,
      token,
      timeoutMs: 20_000,
      ...(body === undefined ? {} : { body }),
    });
    return answer as Reply;
  };
}

export type Caller = ReturnType<typeof caller>;

export interface Heard {
  readonly socket: Socket;
  /** Names of the events so far, in order. */
  readonly names: string[];
  readonly events: { readonly name: string; readonly payload: unknown }[];
}

/** A socket in `/tasks` as nodes open it: the token in the header of the first request. */
export function listen(
  port: number,
  token: string | undefined,
  transport: 'polling' | 'websocket',
): Heard {
  const socket = io(`http://127.0.0.1:${port}/tasks`, {
    transports: [transport],
    upgrade: false,
    reconnection: false,
    forceNew: true,
    extraHeaders: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  const heard: Heard = { socket, names: [], events: [] };
  const note = (name: string, payload?: unknown): void => {
    heard.names.push(name);
    heard.events.push({ name, payload });
  };
  socket.onAny((name: string, payload: unknown) => note(name, payload));
  socket.on('connect_error', (error) => note('connect_error', error.message));
  socket.on('disconnect', (reason) => note('disconnect', reason));
  return heard;
}

/** A port of loopback that nobody holds at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
