import type { Cidr, Ipv4 } from '../net/ipv4.ts';

/**
 * What we need of a container engine, in our own words. One small client per noun.
 * Every method throws V6_ENGINE_MISSING (no engine), V6_ENGINE_PERMISSION (socket refused us), V6_ENGINE_CONFLICT
 * (name or address taken) or V6_ENGINE_REQUEST (anything else, with the engine's own sentence in `details.reason`).
 * Names match whole names, never parts of them.
 */
export interface Engine {
  readonly containers: Containers;
  readonly networks: Networks;
  readonly images: Images;
  info(): Promise<EngineInfo>;
  /** Events of containers and networks with the given labels, until the signal aborts. Ends when the engine goes away. */
  events(labels: Readonly<Record<string, string>>, signal: AbortSignal): AsyncIterable<EngineEvent>;
}

export interface EngineInfo {
  /** For example `20.10.24`. */
  readonly version: string;
  readonly liveRestore: boolean;
  readonly securityOptions: readonly string[];
  /** What the engine says that its firewall is made with: `iptables`, `iptables+firewalld`, `nftables` (Docker 29 and later). */
  readonly firewall?: string | undefined;
}

export interface EngineEvent {
  readonly type: 'container' | 'network';
  /** The engine's word: `start`, `die`, `kill`, `oom`, `destroy`, `connect`, `disconnect` … */
  readonly action: string;
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Id of the container that a network was connected to or disconnected from. */
  readonly container?: string;
}

export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly?: boolean;
  /** The engine makes the folder when it is not there at a start: what lies in /run is gone after a reboot. */
  readonly isMadeWhenMissing?: boolean;
}

export interface PublishedPort {
  /** Port in the container, 1–65535. */
  readonly container: number;
  readonly host: number;
  /** Address on the host; never all of them unless said. */
  readonly hostAddress: string;
  readonly protocol: 'tcp' | 'udp';
}

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  /** Never a secret: an environment shows in `inspect`. */
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly hostname?: string;
  /** Networks to join before the start, in order, with a fixed address where given. Leave out with `networkMode`. */
  readonly networks?: readonly { readonly name: string; readonly address?: Ipv4 }[];
  readonly networkMode?: 'host' | 'none';
  readonly pidMode?: 'host';
  /** Name → address entries of the hosts file. */
  readonly hosts?: Readonly<Record<string, string>>;
  readonly dns?: readonly string[];
  readonly mounts?: readonly Mount[];
  readonly tmpfs?: readonly string[];
  readonly devices?: readonly string[];
  /** Capabilities kept; all others are dropped. */
  readonly capabilities: readonly string[];
  readonly readOnlyRoot?: boolean;
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly restart?: 'no' | 'unless-stopped';
  readonly publish?: readonly PublishedPort[];
  /** Most memory, swap included. */
  readonly memoryBytes?: number;
  /** Most processes and threads at once. */
  readonly pids?: number;
  /** Processors' worth of time, e.g. 1.5; not more than the host has. */
  readonly cpus?: number;
  /** 0–1000: how gladly the kernel ends it when the host's memory ends. */
  readonly oomScore?: number;
  readonly stopTimeoutSeconds?: number;
}

export interface ContainerState {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';
  /** Exit status of the last end; 0 while it never ended. */
  readonly exitCode: number;
  /** Process id on the host, 0 when not running. */
  readonly pid: number;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
  readonly oomKilled: boolean;
  readonly error: string;
  /** Network name → address; the address is absent while the container does not run. */
  readonly networks: Readonly<Record<string, string | undefined>>;
}

export interface Containers {
  /** Creates and joins its networks; does not start. Throws V6_ENGINE_CONFLICT when the name is taken, V6_IMAGE_NOT_FOUND. Nothing is left after a failure. */
  create(spec: ContainerSpec): Promise<string>;
  /** Already running is fine. */
  start(id: string): Promise<void>;
  /** SIGTERM, then SIGKILL after the time-out (seconds). Already stopped or absent is fine. */
  stop(id: string, timeoutSeconds: number): Promise<void>;
  /** Removes by force. Absent is fine. */
  remove(id: string): Promise<void>;
  find(id: string): Promise<ContainerState | undefined>;
  /** With all the given labels, running or not. */
  list(labels: Readonly<Record<string, string>>): Promise<readonly ContainerState[]>;
  /** Resolves with the exit status when the container ends. */
  wait(id: string, signal?: AbortSignal): Promise<number>;
  kill(id: string, signal: string): Promise<void>;
  /** Lets a paused container go on. Not paused or absent is fine. */
  unpause(id: string): Promise<void>;
  /** stdout and stderr together, as text; `tail` lines at most (default all, at most 10 MB). */
  logs(id: string, options?: { readonly tail?: number }): Promise<string>;
  /** Chunks of stdout and stderr as they come, until the container ends or the signal aborts. */
  followLogs(id: string, signal: AbortSignal): AsyncIterable<string>;
  /** Runs one program and waits. For set-up and tests; never on the task path. */
  exec(
    id: string,
    command: readonly string[],
  ): Promise<{ readonly exitCode: number; readonly output: string }>;
  /** A long-lived program with its standard input and output: one line in, lines out. */
  openStream(id: string, command: readonly string[]): Promise<LineStream>;
}

export interface LineStream {
  write(line: string): void;
  /** Lines of stdout and stderr; ends when the program ends or the stream is lost. */
  readonly lines: AsyncIterable<string>;
  close(): void;
}

export interface NetworkSpec {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly subnet: Cidr;
  readonly gateway: Ipv4;
  /** The part of the subnet that the engine takes addresses from where none is asked for; default: all of it. */
  readonly pool?: Cidr;
  /** Name of the bridge on the host, 15 characters at most. */
  readonly bridge: string;
  /** `uplink`: an ordinary bridge. `slot`: the host owns no address on it and masquerades nothing. */
  readonly form: 'uplink' | 'slot';
}

export interface NetworkState {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly subnets: readonly Cidr[];
  readonly gateway: string | undefined;
  readonly bridge: string | undefined;
  /** Container name → address. */
  readonly containers: Readonly<Record<string, string>>;
}

export interface Networks {
  /** Same name and settings: nothing. Other settings: V6_ENGINE_CONFLICT. Overlap with another network: V6_NET_OVERLAP. Leaves no orphan bridge. */
  ensure(spec: NetworkSpec): Promise<NetworkState>;
  find(name: string): Promise<NetworkState | undefined>;
  list(labels: Readonly<Record<string, string>>): Promise<readonly NetworkState[]>;
  /** Absent is fine; what is still attached is detached by force first. */
  remove(name: string): Promise<void>;
  connect(network: string, container: string, address?: Ipv4): Promise<void>;
  /** Not connected is fine. */
  disconnect(network: string, container: string): Promise<void>;
}

export interface ImageState {
  readonly id: string;
  readonly tags: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
  readonly createdAt: Date;
  /** For example `8888/tcp`. */
  readonly exposedPorts: readonly string[];
  readonly digests: readonly string[];
}

export interface Images {
  find(reference: string): Promise<ImageState | undefined>;
  list(labels: Readonly<Record<string, string>>): Promise<readonly ImageState[]>;
  /** Throws V6_IMAGE_NOT_FOUND with the registry's reason. */
  pull(reference: string, signal?: AbortSignal): Promise<void>;
  /** Builds from a folder that holds a Dockerfile, without any network. Throws V6_IMAGE_BUILD with the engine's last lines. */
  build(options: {
    readonly folder: string;
    readonly tags: readonly string[];
    readonly labels: Readonly<Record<string, string>>;
    readonly onLine?: (line: string) => void;
  }): Promise<void>;
  /** Absent is fine; in use by a container: V6_ENGINE_CONFLICT. */
  remove(reference: string): Promise<void>;
}
