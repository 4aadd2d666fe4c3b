import type { Engine } from '../core/engine/engine.ts';
import type { Scope } from '../core/labels.ts';
import type { Cidr } from '../core/net/ipv4.ts';
import type { Verdict } from '../core/protocol/daemon.ts';
import type { DemoNode, DemoPlan } from './plan.ts';

/** What a demo is put together from: the same use cases as production, narrowed to what the demo asks of them. */
export interface DemoParts {
  readonly scope: Scope;
  readonly engine: Engine;
  readonly images: { readonly vpn: string; readonly runtime: string; readonly echo: string };
  readonly files: DemoFiles;
  readonly host: DemoHost;
  readonly portal: DemoPortal;
  readonly nodes: DemoNodes;
  readonly logins: DemoLogins;
  /** Logs in at the coordination server as its first user. */
  readonly connectAdmin: (url: string, user: string, password: string) => Promise<DemoAdmin>;
  /** The file of a new private key of an organization. */
  readonly newPrivateKey: () => Promise<string>;
  /** One that passes the server's rules for passwords. */
  readonly randomPassword: () => string;
  readonly clock: { now(): Date; sleep(ms: number, signal?: AbortSignal): Promise<void> };
}

/** The folder of the demo. All of it is ours; paths are relative to it. */
export interface DemoFiles {
  /** Absolute. */
  readonly root: string;
  /** The data folder of the user that `root` lies in, as $XDG_DATA_HOME has it. */
  readonly dataHome: string;
  read(file: string): Promise<string | undefined>;
  /** 0600, complete or not at all. */
  write(file: string, text: string): Promise<void>;
  makeFolder(folder: string): Promise<void>;
  /** A file or folder; absent is fine. */
  remove(file: string): Promise<void>;
  /** The folder of the demo and its run folder, with all that is in them. Absent is fine. */
  removeAll(): Promise<void>;
}

export interface DemoHost {
  /** Subnets of the engine's networks and of the host's routes, without those of networks with this scope's labels. */
  takenNetworks(scope: Scope): Promise<readonly Cidr[]>;
  isPortFree(port: number): Promise<boolean>;
  /** Polls until `GET /health` answers 200, or the limit. */
  isHealthy(url: string): Promise<boolean>;
}

export interface PortalReady {
  readonly url: string;
  /** The `vpn_server` block that belongs into the server's configuration, secrets in files. */
  readonly redirectUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly username: string;
  readonly password: string;
}

export interface DemoPortal {
  /** In the network that is there. Running as planned: nothing; half dead: mended. */
  start(plan: DemoPlan, uplink: string): Promise<PortalReady>;
  stop(): Promise<void>;
}

export interface DemoNodes {
  /** Undefined when no daemon of this name answers. */
  verdict(node: DemoNode): Promise<Verdict | undefined>;
  /** Writes nothing; the configuration file is there. Waits for the ladder's verdict. */
  start(node: DemoNode, signal: AbortSignal): Promise<Verdict>;
  /** Also what a killed daemon left. Absent is fine. */
  stop(name: string): Promise<void>;
}

export interface DemoLogins {
  /** Saves a login and makes it the current one. */
  save(login: {
    readonly name: string;
    readonly url: string;
    readonly user: string;
    readonly password: string;
    readonly privateKeyFile?: string;
  }): Promise<void>;
  /** Removes it; the one before becomes the current one. Absent is fine. */
  remove(name: string): Promise<void>;
}

/** What the demo asks of the coordination server's REST interface. Each `ensure` finds by name before it creates. */
export interface DemoAdmin {
  ensureOrganization(name: string): Promise<number>;
  ensureCollaboration(collaboration: {
    readonly name: string;
    readonly organizations: readonly number[];
    readonly encrypted: boolean;
  }): Promise<number>;
  /** A fresh API key for the node of this name: one that is there gets a new key. */
  apiKeyFor(node: {
    readonly name: string;
    readonly organization: number;
    readonly collaboration: number;
  }): Promise<string>;
  /** Absent is fine. */
  removeNode(collaboration: string, name: string): Promise<void>;
  /** An account that may create tasks in the collaborations of its organization. True when it was made now. */
  ensureResearcher(input: {
    readonly username: string;
    readonly password: string;
    readonly organization: number;
  }): Promise<void>;
}
