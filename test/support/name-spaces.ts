import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { until } from './wait.ts';

export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  readonly input?: string;
  /** 20 s by default. */
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Default: no input, and pipes for the rest. */
  readonly stdio?: ('ignore' | 'pipe' | number)[];
}

export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const SPACES = ['--net', '--mount', '--pid', '--ipc'];
const SEPARATE = [...SPACES, '--fork', '--kill-child', '--mount-proc'];

/**
 * PID 1 of the name spaces. A fresh sysfs shows the links of the new network; the machine's containerd is hidden, so that an
 * engine starts its own. It ends with its standard input, that is with the test, and the kernel then ends whatever runs beside
 * it. The shell reaps what is orphaned while it waits for cat.
 */
const INIT = `
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/cgroups"
mount --rbind /sys/fs/cgroup "$1/cgroups"
mount -t sysfs sysfs /sys
mount --rbind "$1/cgroups" /sys/fs/cgroup
umount -l "$1/cgroups"
for folder in /run/containerd /run/docker; do
  if [ -d "$folder" ]; then mount -t tmpfs tmpfs "$folder"; fi
done
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
touch "$1/ready"
cat > /dev/null
exit 0
`;

/**
 * Network, mounts and processes of their own: what happens inside is neither seen nor felt by the machine, and all of it ends
 * with `close`, or with the test. Files are the machine's.
 */
export class NameSpaces {
  readonly folder: string;
  readonly #init: ChildProcess;
  readonly #pid: number;
  readonly #env: Readonly<Record<string, string>>;

  private constructor(
    folder: string,
    init: ChildProcess,
    pid: number,
    env: Readonly<Record<string, string>>,
  ) {
    this.folder = folder;
    this.#init = init;
    this.#pid = pid;
    this.#env = env;
  }

  /** `folder` is theirs and goes with them; `env` is all that programs inside get. Needs root. */
  static async open(folder: string, env: Readonly<Record<string, string>>): Promise<NameSpaces> {
    await mkdir(path.join(folder, 'cgroups'), { recursive: true });
    await writeFile(path.join(folder, 'owner'), String(process.pid));
    const init = spawn('unshare', [...SEPARATE, '/bin/sh', '-c', INIT, 'v6-test-init', folder], {
      stdio: ['pipe', 'ignore', 'pipe'],
      env: { PATH: SYSTEM_PATH },
    });
    let errors = '';
    init.stderr?.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    const isReady = async (): Promise<boolean> => (await readdir(folder)).includes('ready');
    await until('the name spaces are made', 30_000, async () => hasEnded(init) || isReady());
    if (hasEnded(init)) throw new Error(`unshare ended with ${init.exitCode}: ${errors}`);
    return new NameSpaces(folder, init, childOf(init), env);
  }

  /** Path of the network name space, for `nsenter --net=…`. */
  get netns(): string {
    return `/proc/${this.#pid}/ns/net`;
  }

  /** Runs a program inside. Its exit status is an answer, not an error. */
  async exec(command: readonly string[], options: ExecOptions = {}): Promise<Ended> {
    const { exitCode, stdout, stderr } = await execa('nsenter', this.#enter(command, options), {
      reject: false,
      timeout: options.timeoutMs ?? 20_000,
      ...(options.input === undefined ? {} : { input: options.input }),
    });
    return { exitCode: exitCode ?? -1, stdout, stderr };
  }

  /** Starts a program inside that goes on; it is the one child of what is returned. */
  spawn(command: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawn('nsenter', this.#enter(command, options), {
      stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Ends all that runs inside; mounts and network go with the last process. */
  async close(): Promise<void> {
    if (!hasEnded(this.#init)) {
      const ended = new Promise((resolve) => this.#init.once('exit', resolve));
      this.#init.stdin?.end();
      await ended;
    }
    // A file system that is still being unmounted is busy for a moment.
    await until(`${this.folder} is removed`, 30_000, async () => {
      await rm(this.folder, { recursive: true, force: true });
      return true;
    });
  }

  #enter(command: readonly string[], options: Pick<ExecOptions, 'env'>): string[] {
    const variables = Object.entries({ ...this.#env, ...options.env });
    const env = ['env', '--ignore-environment', ...variables.map((pair) => pair.join('='))];
    return [`--target=${this.#pid}`, ...SPACES, '--', ...env, ...command];
  }
}

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** The pid, on the machine, of the one child that nsenter or unshare has. */
export function childOf({ pid = 0 }: ChildProcess): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  if (child === undefined || child === '') throw new Error(`Process ${pid} has no child`);
  return Number(child);
}

/** SIGKILL to the one child that nsenter has; one that is about to end by itself is left to that. */
export function killChild(nsenter: ChildProcess): void {
  try {
    process.kill(childOf(nsenter), 'SIGKILL');
  } catch {
    // nsenter itself is about to end, and is waited for.
  }
}

/** Removes folders of tests that were killed: the kernel ended what ran in them with the test. Returns their names. */
export async function removeLeftovers(prefix: string): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const folder = path.join(tmpdir(), name);
    const owner = await readFile(path.join(folder, 'owner'), 'utf8').catch(() => undefined);
    if (owner === undefined || isAlive(Number(owner))) continue;
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    removed.push(name);
  }
  return removed;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
