/** Files and folders of a server on its host, as the command line needs them. */
export interface ServerFiles {
  /** Throws V6_CONFIG_NOT_FOUND. */
  readConfig(file: string): Promise<string>;
  /** Undefined when there is none. Throws V6_CONFIG_WRITE. */
  read(file: string): Promise<string | undefined>;
  /** Whole or not at all, 0600, with its folder. Throws V6_CONFIG_WRITE. */
  write(file: string, text: string): Promise<void>;
  /** Makes a folder with its parents, closed to others. Answers with what it made, outermost first. Throws V6_CONFIG_WRITE. */
  ensureFolder(folder: string): Promise<readonly string[]>;
  /** Absent is fine. Throws V6_CONFIG_WRITE. */
  removeFile(file: string): Promise<void>;
  /** With all that is in it. Absent is fine. */
  removeFolder(folder: string): Promise<void>;
  /** Removes those of the folders that are empty, innermost first. Absent is fine. */
  removeEmptyFolders(folders: readonly string[]): Promise<void>;
  /** Names in a folder; empty when there is no such folder. Throws V6_CONFIG_WRITE when it cannot be read. */
  list(folder: string): Promise<readonly string[]>;
  isThere(path: string): Promise<boolean>;
  /** When it was last written; undefined when there is none. */
  changedAt(file: string): Promise<Date | undefined>;
}

/** A process that cannot be taken for another one: numbers of processes are used again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in ticks since the boot (proc_pid_stat(5), field 22), and of which boot (`/proc/sys/kernel/random/boot_id`). */
  readonly startedAtTick: string;
}

/** A program that was started and goes on without us. */
export interface Spawned {
  readonly identity: ProcessIdentity;
  /** Undefined while it runs. */
  exitCode(): number | undefined;
}

/** Processes of this machine. */
export interface ServerProcesses {
  /** This very process. */
  own(): ProcessIdentity;
  /** Starts our command line in a session of its own; both output streams are appended to `logFile` (0600). */
  spawn(args: readonly string[], logFile: string): Promise<Spawned>;
  isAlive(identity: ProcessIdentity): boolean;
  /** Does nothing when it has ended, or when its number belongs to another process by now. Throws V6_NET_PRIVILEGE when it is another user's. */
  signal(identity: ProcessIdentity, signal: 'SIGTERM' | 'SIGKILL'): void;
}

/** What a server says of itself over HTTP. */
export interface ServerProbe {
  /** Status of `/health`; undefined when nothing answers. `url` is with api path. */
  health(url: string, signal?: AbortSignal): Promise<number | undefined>;
  /** Of `/version`; undefined when nothing answers, or something else. */
  version(url: string, signal?: AbortSignal): Promise<string | undefined>;
}

/** Text of a log file, as long as somebody wants it. */
export interface ServerLogFiles {
  /** The last lines; all of them without `tail`. Empty when there is no file. */
  read(file: string, tail?: number): Promise<string>;
  /** What is written from now on, until the signal aborts or `isOver` says so. */
  follow(file: string, signal: AbortSignal, isOver: () => boolean): AsyncIterable<string>;
  /** Keeps one earlier file (`.1`) when this one is longer than `limitBytes`. */
  rotate(file: string, limitBytes: number): Promise<void>;
}
