import type { NodeConfig } from '../../src/core/config/node-config.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { type Cidr, parseCidr } from '../../src/core/net/ipv4.ts';
import { type Payloads, plainPayloads } from '../../src/node/encryption/payloads.ts';
import { TaskFamilies } from '../../src/node/family/task-families.ts';
import { PortLeases } from '../../src/node/ports/leases.ts';
import type { ProxyCaller } from '../../src/node/proxy/slot-proxy.ts';
import type { RunDeps } from '../../src/node/runs/run-deps.ts';
import { RunManager } from '../../src/node/runs/run-manager.ts';
import { SlotPool } from '../../src/node/slots/slot-pool.ts';
import { TunnelGate } from '../../src/node/tunnel-gate.ts';
import { FakeCoordinator } from './coordinator.ts';
import { FakeEngine, type FakeEngineOptions } from './engine.ts';
import { ManualClock, settled } from './manual-clock.ts';
import { FakeRunFiles } from './run-files.ts';
import { FakeVpnClient } from './vpn-client.ts';

export const RANGE = parseCidr('10.205.0.0/24', 'range');

export const nodeConfig = (changes: Partial<NodeConfig> = {}): NodeConfig => ({
  apiKey: 'key',
  serverUrl: 'http://server.test',
  port: 80,
  apiPath: '/api',
  databases: [],
  encrypted: false,
  encryption: { privateKey: undefined, pinnedKeys: new Map(), trustOnFirstUse: true },
  vpnSubnet: '10.206.0.0/16' as Cidr,
  isolatedRange: RANGE,
  uplinkNetwork: undefined,
  spareSlots: 2,
  maxRuns: 4,
  policies: {
    allowedAlgorithms: undefined,
    allowedUsers: [],
    allowedOrganizations: [],
    requireAlgorithmPull: false,
    readOnlyRoot: false,
  },
  algorithmEnv: {},
  limits: { memoryBytes: undefined, pids: 100, cpus: undefined },
  shareAlgorithmLogs: true,
  shareConfig: true,
  logLevel: 'info',
  ...changes,
});

export interface WorldOptions {
  readonly config?: Partial<NodeConfig>;
  readonly engine?: FakeEngineOptions;
  readonly vpn?: boolean;
  readonly payloads?: Payloads;
  /** Of an earlier daemon's world: what outlives it. */
  readonly survivors?: Pick<NodeWorld, 'engine' | 'coordinator' | 'files'>;
  /** Puts something around every edge of the node, e.g. a crash. */
  readonly around?: <T extends object>(edge: T) => T;
}

/** Listeners and callers of the proxy in memory. */
export class FakeProxy {
  readonly open_ = new Set<number>();
  readonly callers = new Map<number, ProxyCaller>();
  async open(index: number): Promise<void> {
    this.open_.add(index);
  }
  async mend(): Promise<boolean> {
    return false;
  }
  async close(index: number): Promise<void> {
    this.open_.delete(index);
  }
  assign(index: number, caller: ProxyCaller): void {
    this.callers.set(index, caller);
  }
  withdraw(index: number): void {
    this.callers.delete(index);
  }
}

/** A node without its daemon: everything that runs need, with fakes at its edges. */
export class NodeWorld {
  readonly clock = new ManualClock();
  readonly coordinator: FakeCoordinator;
  readonly vpn = new FakeVpnClient();
  readonly files: FakeRunFiles;
  readonly proxy = new FakeProxy();
  readonly ports = new PortLeases();
  /** What every algorithm listens on; undefined: nobody can see it, so nobody waits for it. */
  listening: ReadonlySet<string> | undefined;
  readonly life = new AbortController();
  readonly engine: FakeEngine;
  readonly slots: SlotPool;
  readonly gate: TunnelGate;
  readonly families: TaskFamilies;
  readonly deps: RunDeps;
  readonly manager: RunManager;

  constructor({
    config = {},
    engine = {},
    vpn = true,
    payloads = plainPayloads,
    survivors,
    around = (edge) => edge,
  }: WorldOptions = {}) {
    this.engine = survivors?.engine ?? new FakeEngine({ images: ['echo:1'], ...engine });
    this.coordinator = survivors?.coordinator ?? new FakeCoordinator();
    this.files = survivors?.files ?? new FakeRunFiles();
    const { clock, proxy, coordinator } = this;
    const base = { clock, logger: silentLogger };
    const settings = nodeConfig(config);
    this.slots = new SlotPool(
      {
        ...base,
        networks: this.vpn.seenIn(this.engine.networks),
        containers: this.engine.containers,
        vpn: this.vpn,
        listeners: proxy,
        hostLinks: async () => undefined,
      },
      { scope: 'user', node: 'alpha', range: RANGE, spare: settings.spareSlots },
    );
    this.gate = new TunnelGate(
      { ...base, vpn: coordinator.vpn },
      { enabled: vpn, signal: this.life.signal },
    );
    this.vpn.onTunnelChange((state) => this.gate.follow(state));
    this.families = new TaskFamilies(
      {
        ...base,
        server: around(coordinator.family),
        vpn: around(this.vpn),
        self: coordinator.identity.id,
        vpnSubnet: settings.vpnSubnet,
      },
      this.life.signal,
    );
    this.deps = {
      ...base,
      node: { scope: 'user', name: 'alpha' },
      identity: coordinator.identity,
      config: settings,
      engine: {
        containers: around(this.engine.containers),
        images: around(this.engine.images),
        info: () => this.engine.info(),
      },
      runs: around(coordinator.runs),
      events: coordinator.events,
      organizations: coordinator.organizations,
      payloads,
      vpn: around(this.vpn),
      families: this.families,
      gate: this.gate,
      slots: this.slots,
      ports: this.ports,
      proxy,
      files: around(this.files),
      host: { listeningPorts: async () => this.listening },
    };
    this.manager = new RunManager(this.deps, this.life.signal);
    this.gate.onUp(() => this.manager.tunnelIsUp());
  }

  /** Slots prepared, tunnel up, runs may start. */
  async ready(address: string | null = '10.206.0.5'): Promise<this> {
    await this.vpn.start(await this.slots.prepare(new Map()));
    if (address !== null) this.vpn.up(address);
    this.gate.openForRuns();
    await settled();
    return this;
  }

  /** Reads the open runs and lets everything go as far as it goes without the clock. */
  async sync(): Promise<void> {
    this.manager.requestSync();
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 10; i += 1) await settled();
  }

  container(run: number): string {
    return `vantage6-alpha-run-${run}`;
  }

  isRunning(run: number): boolean {
    return this.engine.held().containers.includes(this.container(run));
  }
}
