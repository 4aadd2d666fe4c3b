import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { execa } from 'execa';
import { findProgram } from '../../scripts/find-program.mjs';
import { makePeers } from '../../scripts/python-peers.mjs';

const root = path.resolve(import.meta.dirname, '../..');

/** Folder of our own Python programs, which use the real packages. */
export const PYTHON_SCRIPTS = path.join(root, 'test/python');

/**
 * The Python that has the packages of test/python/requirements.txt: vantage6 4.15.2 client, node, server and algorithm tools.
 * The bootstrap has made it; made here when not (about 20 s). V6_TEST_PYTHON names another. Throws with what pip said.
 */
export function pythonPeers(): Promise<string> {
  return makePeers(root, { findProgram });
}

export interface PythonOptions {
  readonly args?: readonly string[];
  /** Text for its standard input: secrets belong here. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Runs test/python/SCRIPT to its end; resolves with the JSON of its last line on stdout. Throws with its output on a failure. */
export async function runPython(script: string, options: PythonOptions = {}): Promise<unknown> {
  const { args = [], input = '', env = {}, timeoutMs = 60_000 } = options;
  const python = await pythonPeers();
  const { stdout } = await execa(python, [path.join(PYTHON_SCRIPTS, script), ...args], {
    input,
    env: pythonEnvironment(env),
    extendEnv: false,
    timeout: timeoutMs,
  });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

/** A Python program that goes on, with everything that it has written. */
export interface PythonProcess {
  readonly child: ChildProcess;
  output(): string;
  /** SIGTERM, SIGKILL after `graceMs`; resolves when it has ended. */
  stop(graceMs?: number): Promise<void>;
}

/** Starts test/python/SCRIPT. Its own folders (`home`) keep logs and data out of this user's. */
export async function startPython(
  script: string,
  options: PythonOptions & { readonly home: string },
): Promise<PythonProcess> {
  const python = await pythonPeers();
  const { home, args = [], env = {} } = options;
  const folders = {
    HOME: home,
    XDG_CONFIG_HOME: path.join(home, 'config'),
    XDG_DATA_HOME: path.join(home, 'data'),
    XDG_CACHE_HOME: path.join(home, 'cache'),
    XDG_STATE_HOME: path.join(home, 'state'),
  };
  const child = spawn(python, ['-u', path.join(PYTHON_SCRIPTS, script), ...args], {
    cwd: home,
    env: pythonEnvironment({ ...folders, ...env }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
  });
  return {
    child,
    output: () => text,
    stop: async (graceMs = 10_000) => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Nothing of ours but the path: proxies of this machine must not stand between a peer and loopback. */
function pythonEnvironment(more: Readonly<Record<string, string>>): Record<string, string> {
  return { PATH: process.env.PATH ?? '', PYTHONIOENCODING: 'utf-8', ...more };
}
