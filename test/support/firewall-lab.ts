import type { ChildProcess } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import { createHostRulesRecords } from '../../src/adapters/host/host-rules-records.ts';
import { hostFiles } from '../../src/adapters/host-files/host-files.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { V6Error } from '../../src/core/errors.ts';
import type { Cidr } from '../../src/core/net/ipv4.ts';
import type { NetworkPlanDeps } from '../../src/node/host/network-plan.ts';
import type { NetworkUndoDeps } from '../../src/node/host/network-undo.ts';
import { HostContainer } from '../../src/node/host-rules/host-container.ts';
import { createHostFirewall } from '../../src/node/host-rules/host-firewall.ts';
import { slotAt, slotNetwork } from '../../src/node/slots/slot-plan.ts';
import { vpnImage } from './docker.ts';
import { normalizeRules } from './host-state.ts';
import type { Ended } from './name-spaces.ts';
import {
  type PrivateEngine,
  type PrivateEngineOptions,
  startPrivateEngine,
} from './private-engine.ts';
import { until } from './wait.ts';

const DEV = path.join(import.meta.dirname, '../../bin/dev.js');
const RANGE = '10.224.8.0/22' as Cidr;
const PORT = 7777;
const LABELS = { 'v6.test': 'firewall-lab' };

/** What both a plan and its undoing need. */
export type LabDeps = NetworkPlanDeps & NetworkUndoDeps;

/**
 * A private engine with one slot of a node on it: an algorithm's place and a VPN client's place, between which real packets
 * go. Commands of v6 run on its network, and see its host's rules and no others.
 */
export class FirewallLab implements AsyncDisposable {
  readonly private: PrivateEngine;
  /** The same engine as our code sees it. */
  readonly engine: Engine;
  readonly image: string;
  /** What commands of v6 are told to connect to. */
  commandSocket: string;

  private constructor(made: PrivateEngine, engine: Engine, image: string) {
    this.private = made;
    this.engine = engine;
    this.image = image;
    this.commandSocket = made.socket;
  }

  static async open(options: PrivateEngineOptions): Promise<FirewallLab> {
    const image = await vpnImage(await connectEngine());
    const made = await startPrivateEngine(options);
    try {
      await made.load([image]);
      const engine = await connectEngine({ socketPath: made.socket });
      const lab = new FirewallLab(made, engine, image);
      for (const node of ['alpha', 'beta']) await lab.#configure(node);
      await lab.#makeSlot();
      return lab;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A command line of v6 on the lab's host. */
  v6(...args: readonly string[]): Promise<Ended> {
    const env = this.#env();
    return this.private.exec([process.execPath, DEV, ...args], { env, timeoutMs: 60_000 });
  }

  /** The same as commands of v6 do it, in this very process: a start of Node costs more than all that they do. */
  async inProcess<T>(node: string, work: (deps: LabDeps) => Promise<T>): Promise<T> {
    const engine = await connectEngine({ socketPath: this.commandSocket });
    const records = createHostRulesRecords(this.dataDir(node));
    const container = new HostContainer({
      engine,
      image: this.image,
      scope: 'user',
      worksFor: node,
    });
    return work({
      engine,
      networks: engine.networks,
      host: { routes: async () => [], addresses: () => [] },
      choices: { find: async () => undefined },
      credentials: { find: async () => undefined },
      records,
      resolve: async () => [],
      files: hostFiles,
      firewall: createHostFirewall({ engine, container, records, clock: systemClock }),
      daemon: {
        status: () => Promise.reject(new V6Error('V6_NODE_NOT_RUNNING', 'Nobody answers')),
      },
    });
  }

  /** As `v6`, in the background; nsenter is its parent. */
  start(...args: readonly string[]): ChildProcess {
    return this.private.spawn([process.execPath, DEV, ...args], {
      env: this.#env(),
      stdio: ['ignore', 'ignore', 'ignore'],
    });
  }

  /** Bridge of the slot. */
  get bridge(): string {
    return this.#slot().bridge;
  }

  /** Where a node of the lab keeps what it knows between its lives. */
  dataDir(node: string): string {
    return path.join(this.#home, 'data/vantage6/node', node);
  }

  /** What a command prints with --json. Throws with what it said when it fails. */
  async json(...args: readonly string[]): Promise<unknown> {
    const { exitCode, stdout, stderr } = await this.v6(...args, '--json');
    if (exitCode !== 0)
      throw new Error(`${args.join(' ')} ended with ${exitCode}: ${stdout}${stderr}`);
    return JSON.parse(stdout);
  }

  /** Runs a line of shell on the lab's host; what it printed. Throws when it fails. */
  async host(line: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.private.exec(['/bin/sh', '-c', line]);
    if (exitCode !== 0) throw new Error(`${line} ended with ${exitCode}: ${stderr}`);
    return stdout;
  }

  /** Whether the algorithm's place gets an answer from the VPN client's place. */
  async doesPass(): Promise<boolean> {
    return this.#isGreeted('lab-algorithm', this.#slot().client);
  }

  /** Whether the VPN client's place is heard at this address. The time is for a lost packet, which is sent again after 1 s. */
  async #isGreeted(container: string, address: string): Promise<boolean> {
    const line = `socat -u -T 2 TCP:${address}:${PORT},connect-timeout=2.5 - 2>/dev/null`;
    const { output } = await this.engine.containers.exec(container, ['/bin/sh', '-c', line]);
    return output.includes('lab-client');
  }

  /** All rules of the lab's host, and which tables iptables-legacy has. */
  async rules(): Promise<readonly string[]> {
    const legacy = await this.host('cat /proc/net/ip_tables_names');
    const lines = [
      await this.host('nft list ruleset 2>/dev/null'),
      ...(legacy === '' ? [] : [await this.host('iptables-legacy-save')]),
    ].flatMap((text) => text.split('\n'));
    return [...normalizeRules(lines), `legacy: ${legacy}`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.private[Symbol.asyncDispose]();
  }

  #slot() {
    return slotAt({ scope: 'user', node: 'alpha' }, RANGE, 0);
  }

  get #home(): string {
    return path.join(this.private.folder, 'home');
  }

  #env(): Record<string, string> {
    const home = this.#home;
    return {
      DOCKER_HOST: `unix://${this.commandSocket}`,
      HOME: home,
      XDG_CONFIG_HOME: `${home}/config`,
      XDG_DATA_HOME: `${home}/data`,
      XDG_CACHE_HOME: `${home}/cache`,
      XDG_RUNTIME_DIR: `${home}/run`,
      V6_HOST_UID: '1000',
      NODE_NO_WARNINGS: '1',
    };
  }

  async #configure(node: string): Promise<void> {
    const folder = path.join(this.#home, 'config/vantage6/node');
    await mkdir(folder, { recursive: true });
    const lines = [
      'api_key: an-api-key-of-a-test-1234',
      'server_url: http://localhost',
      'port: 7601',
      'vpn_subnet: 10.76.0.0/16',
    ];
    await writeFile(path.join(folder, `${node}.yaml`), `${lines.join('\n')}\n`);
  }

  async #makeSlot(): Promise<void> {
    const owner = { scope: 'user', node: 'alpha' } as const;
    const slot = this.#slot();
    // Nobody's: what a node leaves is removed, and this must stay.
    await this.engine.networks.ensure({ ...slotNetwork(owner, slot), labels: LABELS });
    const places = [
      { name: 'lab-client', address: slot.client },
      { name: 'lab-algorithm', address: slot.algorithm },
    ];
    for (const { name, address } of places) {
      const id = await this.engine.containers.create({
        name,
        image: this.image,
        labels: LABELS,
        entrypoint: ['/usr/bin/tini', '--', '/bin/sh'],
        command: ['-c', `exec socat TCP-LISTEN:${PORT},fork,reuseaddr SYSTEM:"echo ${name}"`],
        networks: [{ name: slot.network, address }],
        capabilities: [],
      });
      await this.engine.containers.start(id);
    }
    await until('the client’s place listens', 20_000, () =>
      this.#isGreeted('lab-client', '127.0.0.1'),
    );
  }
}
