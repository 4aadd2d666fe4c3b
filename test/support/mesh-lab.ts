import type { ChildProcess } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { createDaemonClient } from '../../src/adapters/http/daemon-client.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { bridgeName, LABEL, names, type Scope } from '../../src/core/labels.ts';
import type { Cidr, Ipv4 } from '../../src/core/net/ipv4.ts';
import {
  type AlgorithmAddress,
  isFinished,
  type RunStatus,
} from '../../src/core/protocol/entities.ts';
import type { Slot } from '../../src/core/vpn/slot.ts';
import type { DaemonClient } from '../../src/node/interfaces/daemon-client.ts';
import { slotAt } from '../../src/node/slots/slot-plan.ts';
import { TestCoordination, type TestNode } from './coordination.ts';
import { MeshFlow } from './mesh-flow.ts';
import { type MeshState, meshState } from './mesh-state.ts';
import { ASK_PROXY, PEER_PORTS, PEER_PROGRAM } from './peer-program.ts';
import { buildTestAlgorithm, TestNodeDaemon } from './test-node.ts';
import { VPN_SUBNET, VpnLab, writeAddresses } from './vpn-lab.ts';
import { until } from './wait.ts';

/** Slots that the lab looks at for its bridges; more than any test uses. */
const SLOTS_LOOKED_AT = 32;
const RUN_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 60_000;
const GONE_LIMIT_MS = 30_000;
/** Characters of a node's log in a failure. */
const LOG_TAIL = 4000;
/** The patience that the lab's VPN server pushes: short, so that drills are. */
export const PING_RESTART_MS = 4000;

export interface MeshLabOptions {
  /** Default 2; at most 10. */
  readonly nodes?: number;
  /** Lines of the configuration file of node 1, 2 …, in place of those of TestNodeDaemon. */
  readonly config?: (node: number) => readonly string[];
}

/** One run of a task of the lab. */
export interface MeshRun {
  readonly id: number;
  readonly node: MeshNode;
  /** Name of its container. */
  readonly container: string;
}

export interface MeshTask {
  readonly id: number;
  readonly runs: readonly MeshRun[];
}

/**
 * Real nodes on this machine's engine, each a process of its own, at a real coordination server (in this process) and a VPN
 * server made by hand. All of it carries the lab's scope and goes with `remove`.
 */
export class MeshLab {
  readonly scope: Scope;
  readonly vpn: VpnLab;
  readonly world: TestCoordination;
  readonly nodes: MeshNode[] = [];
  /** The image of peer-program.ts. */
  readonly image: string;
  readonly #images: string[] = [];

  private constructor(scope: Scope, vpn: VpnLab, world: TestCoordination) {
    this.scope = scope;
    this.vpn = vpn;
    this.world = world;
    this.image = `v6-test-${scope}-peer:1`;
  }

  /** `title`: 1 to 7 small letters and digits, of this test file alone. The nodes are not started yet. */
  static async open(title: string, options: MeshLabOptions = {}): Promise<MeshLab> {
    // Two people who run the same file on one engine each have a letter of their own.
    const name = `${title}${process.env.V6_TEST_LAB ?? ''}`;
    const vpn = await VpnLab.open(name);
    try {
      return await MeshLab.#make(vpn, `demo-${name}`, options);
    } catch (error) {
      await vpn.remove().catch((left: unknown) => {
        throw bothOf(error, left);
      });
      throw error;
    }
  }

  static async #make(vpn: VpnLab, scope: Scope, options: MeshLabOptions): Promise<MeshLab> {
    await removeScope(vpn.engine, scope);
    const count = options.nodes ?? 2;
    await writeAddresses(vpn, count);
    await vpn.startServer([1, PING_RESTART_MS / 1000]);
    const world = await TestCoordination.start(path.join(vpn.folder.path, 'coordination'));
    const lab = new MeshLab(scope, vpn, world);
    await lab.buildImage(lab.image, PEER_PROGRAM, PEER_PORTS);
    const titles = Array.from({ length: count }, (_, index) => `n${index + 1}`);
    const registered = await world.createNodes(titles);
    registered.forEach((node, index) => {
      const number = index + 1;
      lab.nodes.push(new MeshNode(lab, node, number, options.config?.(number) ?? []));
    });
    return lab;
  }

  /** Opens the lab and starts its nodes; they are connected. */
  static async up(name: string, options: MeshLabOptions = {}): Promise<MeshLab> {
    const lab = await MeshLab.open(name, options);
    try {
      await Promise.all(lab.nodes.map((node) => node.start()));
      return lab;
    } catch (error) {
      await lab.remove().catch((left: unknown) => {
        throw bothOf(error, left);
      });
      throw error;
    }
  }

  get engine(): Engine {
    return this.vpn.engine;
  }

  /** Node 1, 2 … */
  node(number: number): MeshNode {
    const node = this.nodes[number - 1];
    if (node === undefined) throw new Error(`the lab has no node ${number}`);
    return node;
  }

  /** Builds an image whose program is a shell text, on top of v6-vpn (socat, ip, ss, ping), run as nobody. */
  async buildImage(tag: string, program: string, lines: readonly string[]): Promise<void> {
    const folder = path.join(this.vpn.folder.path, `image-${this.#images.length}`);
    const { engine, image } = this.vpn.sandbox;
    await buildTestAlgorithm(engine, folder, image, tag, program, lines);
    this.adoptImage(tag);
  }

  /** An image that goes with the lab. */
  adoptImage(tag: string): void {
    this.#images.push(tag);
  }

  /** A task on these nodes; does not wait for anything. */
  async createTask(
    nodes: readonly MeshNode[],
    input: unknown = { method: 'serve' },
    image = this.image,
  ): Promise<MeshTask> {
    const organizations = nodes.map(({ organization }) => organization);
    const { task, runs } = await this.world.createTask(image, organizations, input);
    const found = await Promise.all(
      runs.map(async (id) => {
        const { organization } = await this.world.run(id);
        const own = (organization as { id: number }).id;
        const node = this.nodes.find((one) => one.organization === own);
        if (node === undefined) throw new Error(`run ${id} is no node's of this lab`);
        return { id, node, container: names.algorithm(node.name, id, this.scope) };
      }),
    );
    // In the order of the nodes that were asked for.
    return { id: task, runs: nodes.flatMap((node) => found.filter((run) => run.node === node)) };
  }

  /** A task whose runs are all active, so that each is reached at its address. */
  async startTask(...rest: Parameters<MeshLab['createTask']>): Promise<MeshTask> {
    const task = await this.createTask(...rest);
    for (const { id } of task.runs) await this.status(id, ['active']);
    return task;
  }

  /** Waits until a run has one of these statuses; fails at once when it has ended in another. */
  status(run: number, wanted: readonly RunStatus[], limitMs = RUN_LIMIT_MS) {
    return until(
      `run ${run} is ${wanted.join(' or ')}`,
      limitMs,
      () => this.world.run(run),
      ({ status }) => wanted.includes(status as RunStatus),
    );
  }

  /** The run once it has ended for good. */
  ended(run: number, limitMs = RUN_LIMIT_MS) {
    return until(
      `run ${run} ends`,
      limitMs,
      () => this.world.run(run),
      ({ status, finished_at }) => isFinished(status as RunStatus) && finished_at !== null,
    );
  }

  /** Lets the runs of a task end by themselves, and waits for it. Returns their statuses. */
  async finish({ runs }: MeshTask): Promise<unknown[]> {
    for (const { id, node } of runs)
      await writeFile(path.join(node.temporary(id), 'go'), '').catch(() => undefined);
    const ends = await Promise.all(runs.map(({ id }) => this.ended(id)));
    await until('the nodes are done with them', 30_000, async () => {
      const open = await Promise.all(runs.map(({ node }) => node.openRuns()));
      return runs.every(({ id }, at) => !open[at]?.includes(id));
    });
    return ends.map(({ status }) => status);
  }

  /** Asks the server to kill a task. */
  kill({ id }: MeshTask): Promise<unknown> {
    return this.world.ask('POST', '/kill/task', { id });
  }

  /** What a shell line prints that runs in a container, for instance beside an algorithm, as its user. */
  shell(container: string, line: string): Promise<string> {
    return this.vpn.shell(container, line);
  }

  /** The slot that a run has. */
  async slotOf({ id, node }: MeshRun): Promise<Slot> {
    const { slots } = await node.control.network();
    const held = slots.find(({ run }) => run === id);
    if (held === undefined) throw new Error(`run ${id} has no slot`);
    const index = Number(held.network.split('-').at(-1));
    return slotAt({ scope: this.scope, node: node.name }, node.range, index);
  }

  /** What the server says of addresses when the algorithm of this run asks through its node's proxy. */
  async addresses(run: MeshRun, query = ''): Promise<readonly AlgorithmAddress[]> {
    const text = await this.shell(
      run.container,
      `${ASK_PROXY}\nask '/vpn/algorithm/addresses${query}' "$token"`,
    );
    return (JSON.parse(text) as { addresses: AlgorithmAddress[] }).addresses;
  }

  /** `address:port` of a port of a run, as another run of its family learns it. */
  async addressOf(asker: MeshRun, of: MeshRun, label = 'echo'): Promise<string> {
    return until('the address is listed', 30_000, async () => {
      // All of them are asked for, so that the node knows of all before a test looks at its rules.
      const found = (await this.addresses(asker)).find(
        (one) => one.organization_id === of.node.organization && one.label === label,
      );
      return found?.ip ? `${found.ip}:${found.port}` : '';
    });
  }

  /** An open connection between two runs of one family; see MeshFlow. */
  async openFlow(from: MeshRun, to: MeshRun, kind: 'echo' | 'feed' = 'echo'): Promise<MeshFlow> {
    return MeshFlow.open(this.engine, from.container, await this.addressOf(from, to, kind), kind);
  }

  /** One word there and back over TCP or UDP; empty when nothing answered within 3 s. */
  ask(from: MeshRun, address: string, protocol: 'tcp' | 'udp' = 'tcp'): Promise<string> {
    return this.vpn.ask(from.container, address, protocol);
  }

  /** The engine's own command line, for what a site's administrator does with it. */
  async docker(...args: string[]): Promise<string> {
    return (await execa('docker', args, { timeout: 60_000 })).stdout;
  }

  snapshot(): Promise<MeshState> {
    return meshState(this);
  }

  /** Bridges that belong to the lab, those of slots that do not exist among them. */
  bridges(): ReadonlySet<string> {
    const slots = this.nodes.flatMap((node) => this.bridgesOf(node));
    return new Set([...slots, bridgeName('v6a', this.vpn.uplink)]);
  }

  /** Bridges of a node's slots. */
  bridgesOf({ name, range }: MeshNode): readonly string[] {
    return Array.from(
      { length: SLOTS_LOOKED_AT },
      (_, index) => slotAt({ scope: this.scope, node: name }, range, index).bridge,
    );
  }

  /** Whatever the test did, nothing of the lab is left. */
  async remove(): Promise<void> {
    // One that does not end by itself is killed below, and its rules are undone.
    for (const node of this.nodes) await node.stop().catch(() => undefined);
    await this.world.server.stop().catch(() => undefined);
    try {
      // The engine may still have made a container when its daemon was killed: an image that is used cannot go.
      await until(`nothing is left of ${this.scope}`, GONE_LIMIT_MS, async () => {
        for (const { daemon } of this.nodes) await daemon.clean();
        await removeScope(this.engine, this.scope);
        for (const tag of this.#images) await this.engine.images.remove(tag);
        return true;
      });
    } finally {
      await this.vpn.remove();
    }
  }
}

/** A node of the lab: a process that can be ended in every way and started again. */
export class MeshNode {
  readonly name: string;
  readonly id: number;
  readonly organization: number;
  readonly number: number;
  readonly range: Cidr;
  readonly vpnAddress: Ipv4;
  /** Slots that its configuration wants to stand ready. */
  readonly spare: number;
  readonly daemon: TestNodeDaemon;
  readonly control: DaemonClient;
  /** Name of the VPN client's container. */
  readonly client: string;
  process: ChildProcess | undefined;
  readonly #lab: MeshLab;

  constructor(lab: MeshLab, registered: TestNode, number: number, config: readonly string[]) {
    const { vpn, scope, world } = lab;
    this.#lab = lab;
    this.name = `n${number}`;
    this.number = number;
    this.id = registered.id;
    this.organization = registered.organization;
    this.range = vpn.slotRange(number);
    this.vpnAddress = vpn.vpnAddress(number);
    this.client = names.vpnClient(this.name, scope);
    this.spare = Number(/spare_slots: (\d+)/.exec(config.join('\n'))?.[1] ?? 1);
    this.daemon = new TestNodeDaemon({
      name: this.name,
      scope,
      root: vpn.folder.path,
      engine: vpn.engine,
      vpnImage: vpn.sandbox.image,
      apiKey: registered.apiKey,
      port: world.port,
      config: [
        `isolated_range: ${this.range}`,
        `uplink_network: ${vpn.uplink}`,
        `vpn_subnet: ${VPN_SUBNET}`,
        ...config,
      ],
    });
    this.control = createDaemonClient(this.daemon.context.runDir, this.name);
  }

  /** Starts the process and waits for the tunnel. */
  async start(): Promise<void> {
    const { vpn } = this.#lab;
    const file = path.join(this.daemon.context.dataDir, 'vpn', 'vpn-config.ovpn.conf');
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, await vpn.clientConfig(`node-${this.number}`), { mode: 0o600 });
    await this.startAgain();
  }

  /** As `start`, with the credential that is there. */
  async startAgain(): Promise<void> {
    this.daemon.log.length = 0;
    this.process = await this.daemon.spawn();
    const { state } = await this.control.verdict(30_000);
    if (state !== 'connected') throw new Error(`${this.name} is ${state}:\n${this.log()}`);
  }

  /** SIGTERM, and waits for the end: everything is undone. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM', STOP_LIMIT_MS);
  }

  /** SIGKILL: containers, networks and rules stay. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL', 5000);
  }

  /** Whether the tunnel is up and the server knows its address. */
  async isReady(): Promise<boolean> {
    const { state, vpnAddress } = (await this.control.status()).vpn;
    return state === 'connected' && vpnAddress !== null;
  }

  /** Runs that the daemon holds. */
  async openRuns(): Promise<readonly number[]> {
    return (await this.control.status()).runs.map(({ run }) => run);
  }

  log(): string {
    return this.daemon.log.join('');
  }

  /** What a shell line prints that runs in the VPN client's container. */
  inClient(line: string): Promise<string> {
    return this.#lab.shell(this.client, line);
  }

  /** The same for a line that must succeed: what a test does to the VPN client, and must have done. */
  async changeClient(line: string): Promise<void> {
    const command = ['/bin/sh', '-c', line];
    const { exitCode, output } = await this.#lab.engine.containers.exec(this.client, command);
    if (exitCode !== 0) throw new Error(`${line} ended with ${exitCode}: ${output}`);
  }

  /** The folder that an algorithm sees as /mnt/tmp. */
  temporary(run: number): string {
    const digits = String(run).padStart(9, '0');
    return path.join(this.daemon.context.dataDir, 'data', `tmp-${digits}`);
  }

  async #end(signal: NodeJS.Signals, limitMs: number): Promise<void> {
    const child = this.process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await until(
      `${this.name} ends`,
      limitMs,
      () => child.exitCode !== null || child.signalCode !== null,
    ).catch((error: unknown) => {
      throw new Error(this.log().slice(-LOG_TAIL), { cause: error });
    });
    this.process = undefined;
  }
}

/** Why a lab did not come up, and why something of it is left. */
const bothOf = (reason: unknown, left: unknown): AggregateError =>
  new AggregateError([reason, left], `${String(reason)}\nleft behind: ${String(left)}`);

async function removeScope({ containers, networks }: Engine, scope: Scope): Promise<void> {
  const labels = { [LABEL.scope]: scope };
  for (const { id } of await containers.list(labels)) await containers.remove(id);
  for (const { name } of await networks.list(labels)) await networks.remove(name);
}
