import { contextFor } from '../../src/core/context.ts';
import { V6Error } from '../../src/core/errors.ts';
import type { ServerHostDeps } from '../../src/server/host/find-server.ts';
import type {
  ProcessIdentity,
  ServerFiles,
  ServerLogFiles,
  ServerProbe,
  ServerProcesses,
} from '../../src/server/interfaces/host.ts';
import { FakeEngine } from './engine.ts';

/** Files in memory; folders are what the paths of files say, and those that were made. */
class FakeServerFiles implements ServerFiles {
  readonly files = new Map<string, string>();
  readonly folders = new Set<string>();
  readonly changed = new Map<string, Date>();

  async readConfig(file: string): Promise<string> {
    const text = this.files.get(file);
    if (text === undefined) throw new V6Error('V6_CONFIG_NOT_FOUND', `There is no ${file}`);
    return text;
  }
  read = async (file: string): Promise<string | undefined> => this.files.get(file);
  async write(file: string, text: string): Promise<void> {
    this.files.set(file, text);
  }
  async ensureFolder(folder: string): Promise<readonly string[]> {
    if (this.folders.has(folder)) return [];
    this.folders.add(folder);
    return [folder];
  }
  async removeFile(file: string): Promise<void> {
    this.files.delete(file);
  }
  async removeFolder(folder: string): Promise<void> {
    this.folders.delete(folder);
    for (const file of this.files.keys())
      if (file.startsWith(`${folder}/`)) this.files.delete(file);
  }
  async removeEmptyFolders(folders: readonly string[]): Promise<void> {
    for (const folder of folders)
      if ((await this.list(folder)).length === 0) this.folders.delete(folder);
  }
  async list(folder: string): Promise<readonly string[]> {
    const inside = [...this.files.keys(), ...this.folders].filter((at) =>
      at.startsWith(`${folder}/`),
    );
    return [...new Set(inside.map((at) => at.slice(folder.length + 1).split('/')[0] ?? ''))];
  }
  async isThere(at: string): Promise<boolean> {
    return this.files.has(at) || this.folders.has(at) || (await this.list(at)).length > 0;
  }
  changedAt = async (file: string): Promise<Date | undefined> => this.changed.get(file);
}

/** Processes in memory. `onStart` is what a started one does; `ignores` a signal that it does not hear. */
class FakeProcesses implements ServerProcesses {
  readonly alive = new Map<number, ProcessIdentity & { exitCode?: number }>();
  readonly signals: string[] = [];
  readonly started: (readonly string[])[] = [];
  onStart: (identity: ProcessIdentity) => number | undefined = () => undefined;
  ignores: 'SIGTERM' | undefined;
  #next = 100;

  own = (): ProcessIdentity => ({ pid: 2, startedAtTick: 'boot/2' });

  async spawn(args: readonly string[]) {
    this.started.push(args);
    this.#next += 1;
    const identity = { pid: this.#next, startedAtTick: `boot/${this.#next}` };
    const exitCode = this.onStart(identity);
    if (exitCode === undefined) this.alive.set(identity.pid, identity);
    return { identity, exitCode: () => exitCode };
  }
  isAlive({ pid, startedAtTick }: ProcessIdentity): boolean {
    return this.alive.get(pid)?.startedAtTick === startedAtTick;
  }
  signal(identity: ProcessIdentity, signal: 'SIGTERM' | 'SIGKILL'): void {
    if (!this.isAlive(identity)) return;
    this.signals.push(`${signal} ${identity.pid}`);
    if (signal !== this.ignores) this.alive.delete(identity.pid);
  }
}

/** Log files in memory. */
class FakeLogFiles implements ServerLogFiles {
  readonly texts = new Map<string, string>();
  async read(file: string, tail?: number): Promise<string> {
    const lines = (this.texts.get(file) ?? '').split('\n').filter((line) => line !== '');
    return (tail === undefined ? lines : lines.slice(-tail)).map((line) => `${line}\n`).join('');
  }
  // oxlint-disable-next-line require-yield -- nothing is written while a test looks
  async *follow(): AsyncIterable<string> {}
  async rotate(): Promise<void> {}
}

/** A machine with servers on it, in memory; time passes only in waits. */
export function createServerHost(options: { readonly hasEngine?: boolean } = {}) {
  const engine = new FakeEngine({ images: ['v6-runtime:1', 'v6-runtime:2'] });
  const files = new FakeServerFiles();
  const processes = new FakeProcesses();
  const logs = new FakeLogFiles();
  const health = new Map<string, number>();
  let nowMs = new Date('2030-01-01T00:00:00Z').getTime();
  const probe: ServerProbe = {
    health: async (url) => health.get(url),
    version: async (url) => (health.has(url) ? '4.14.0' : undefined),
  };
  const deps: ServerHostDeps = {
    engine: options.hasEngine === false ? undefined : engine,
    files,
    logs,
    processes,
    probe,
    clock: {
      now: () => new Date(nowMs),
      sleep: async (ms) => {
        nowMs += ms;
      },
    },
  };
  const context = contextFor('server', 'trial', 'user', { home: '/home/ann', isRoot: false });
  return { deps, engine, files, processes, logs, health, context };
}
