import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rmdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { pingEngine } from '../../scripts/engine-start.mjs';
import {
  childOf,
  type Ended,
  type ExecOptions,
  hasEnded,
  NameSpaces,
  removeLeftovers,
  type SpawnOptions,
  SYSTEM_PATH,
} from './name-spaces.ts';
import { until } from './wait.ts';

export interface PrivateEngineOptions {
  /** Which iptables the engine works with; `none` is an engine that leaves the firewall alone (`--iptables=false`). */
  readonly iptables: 'nft' | 'legacy' | 'none';
  /** Containers go on while the engine is down. */
  readonly liveRestore?: boolean;
  /** Folder whose `dockerd`, `containerd` and so on go before the installed ones. */
  readonly programs?: string;
  /** More options of dockerd. */
  readonly args?: readonly string[];
  /** More variables of dockerd. */
  readonly env?: Readonly<Record<string, string>>;
}

const PREFIX = 'v6pe-';
/** What bounds a hang, on a machine whose processors others want as well. */
const READY_MS = 90_000;
const END_MS = 60_000;
const LOAD_MS = 150_000;

/**
 * Starts a Docker engine of its own in name spaces of its own: what it and its containers do to network, firewall and mounts
 * is neither seen nor felt by the machine. Its bridge leads nowhere: not to the machine, not beyond. Waits until it answers.
 * Needs root; throws with the end of its log.
 */
export async function startPrivateEngine(options: PrivateEngineOptions): Promise<PrivateEngine> {
  for (const name of await removeLeftovers(PREFIX)) await removeCgroups(cgroupOf(name));
  const folder = await mkdtemp(path.join(tmpdir(), PREFIX));
  const at = (name: string): string => path.join(folder, name);
  await writeFile(at('daemon.json'), '{}');
  await makeTools(at('bin'), options.iptables === 'legacy' ? 'legacy' : 'nft');
  const programs = options.programs === undefined ? [] : [options.programs];
  const spaces = await NameSpaces.open(folder, {
    PATH: [at('bin'), ...programs, SYSTEM_PATH].join(':'),
    HOME: process.env.HOME ?? '/root',
    DOCKER_HOST: `unix://${at('docker.sock')}`,
  });
  const engine = new PrivateEngine(spaces, options);
  try {
    await engine.start();
    return engine;
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}

/** One engine in its name spaces; `await using` removes all of it, the network included. */
export class PrivateEngine implements AsyncDisposable {
  /** Path of its socket, for `DOCKER_HOST=unix://…`; the same inside and outside. */
  readonly socket: string;
  /** Folder of its own, removed at the end. */
  readonly folder: string;
  readonly logFile: string;
  readonly #spaces: NameSpaces;
  readonly #options: PrivateEngineOptions;
  readonly #cgroup: string;
  #daemon: ChildProcess | undefined;

  constructor(spaces: NameSpaces, options: PrivateEngineOptions) {
    this.#spaces = spaces;
    this.#options = options;
    this.folder = spaces.folder;
    this.socket = path.join(this.folder, 'docker.sock');
    this.logFile = path.join(this.folder, 'dockerd.log');
    this.#cgroup = cgroupOf(path.basename(this.folder));
  }

  /** Path of its network name space, for `nsenter --net=…`. */
  get netns(): string {
    return this.#spaces.netns;
  }

  /**
   * Runs a program where the engine runs: its network, its mounts, its processes. DOCKER_HOST is set, and `iptables` is the
   * variant of the engine. An exit status is an answer, not an error.
   */
  exec(command: readonly string[], options?: ExecOptions): Promise<Ended> {
    return this.#spaces.exec(command, options);
  }

  /** As `exec`, for what goes on; it ends with the engine's name spaces at the latest. */
  spawn(command: readonly string[], options?: SpawnOptions): ChildProcess {
    return this.#spaces.spawn(command, options);
  }

  /** Copies images, by their names, from the machine's engine into this one. */
  async load(images: readonly string[]): Promise<void> {
    const copy =
      'set -e; to="$1"; shift; docker save "$@" | docker --host "unix://$to" load --quiet';
    await execa('/bin/sh', ['-c', copy, 'copy', this.socket, ...images], { timeout: LOAD_MS });
  }

  isRunning(): boolean {
    return this.#daemon !== undefined && !hasEnded(this.#daemon);
  }

  /** Starts dockerd where it does not run, and waits until it answers. */
  async start(): Promise<void> {
    if (this.isRunning()) return;
    const log = openSync(this.logFile, 'a', 0o640);
    const { env = {} } = this.#options;
    const command = ['dockerd', ...this.#daemonArgs()];
    const daemon = this.#spaces.spawn(command, { env, stdio: ['ignore', log, log] });
    closeSync(log);
    this.#daemon = daemon;
    const state = await until(
      'the private engine answers',
      READY_MS,
      () => (hasEnded(daemon) ? 'ended' : pingEngine(this.socket)),
      (is) => is === 'running' || is === 'ended',
    );
    if (state === 'ended') throw new Error(`dockerd ended:\n${lastLines(this.logFile)}`);
  }

  /** SIGTERM to dockerd, and its end. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** SIGKILL to dockerd. Containers go on either way; without live-restore the next start ends them. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  async restart(how: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    await this.#end(how);
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#spaces.close();
    await removeCgroups(this.#cgroup);
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === undefined || hasEnded(daemon)) return;
    process.kill(childOf(daemon), signal);
    await until('dockerd ended', END_MS, () => hasEnded(daemon));
  }

  #daemonArgs(): string[] {
    const { iptables, liveRestore = false, args = [] } = this.#options;
    const at = (name: string): string => path.join(this.folder, name);
    return [
      `--host=unix://${this.socket}`,
      `--pidfile=${at('docker.pid')}`,
      `--data-root=${at('data')}`,
      `--exec-root=${at('exec')}`,
      // What the machine's engine is told is not for this one.
      `--config-file=${at('daemon.json')}`,
      '--exec-opt=native.cgroupdriver=cgroupfs',
      `--cgroup-parent=/${this.#cgroup}`,
      `--iptables=${iptables !== 'none'}`,
      '--ip6tables=false',
      `--live-restore=${liveRestore}`,
      ...args,
    ];
  }
}

const cgroupOf = (name: string): string => name.toLowerCase();

/** What the engine finds under the name iptables. */
async function makeTools(folder: string, variant: 'nft' | 'legacy'): Promise<void> {
  await mkdir(folder);
  for (const family of ['iptables', 'ip6tables']) {
    for (const end of ['', '-save', '-restore'])
      await symlink(`/usr/sbin/${family}-${variant}${end}`, path.join(folder, `${family}${end}`));
  }
}

function lastLines(file: string): string {
  return readFileSync(file, 'utf8').trim().split('\n').slice(-8).join('\n');
}

/** Control groups are folders that go when nothing runs in them, the inner ones first. Version 1 has one tree per controller. */
async function removeCgroups(name: string): Promise<void> {
  const root = '/sys/fs/cgroup';
  for (const tree of [root, ...(await subfolders(root))]) await removeTree(path.join(tree, name));
}

async function removeTree(folder: string): Promise<void> {
  for (const inner of await subfolders(folder)) await removeTree(inner);
  await rmdir(folder).catch(() => undefined);
}

async function subfolders(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => path.join(folder, name));
}
