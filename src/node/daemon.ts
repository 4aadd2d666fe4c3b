import type { Clock } from '../core/clock.ts';
import type { NodeConfig } from '../core/config/node-config.ts';
import type { Context } from '../core/context.ts';
import { type EncryptionDeps, KeyRing } from '../core/crypto/key-ring.ts';
import type { Engine } from '../core/engine/engine.ts';
import { V6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Cidr } from '../core/net/ipv4.ts';
import type { DaemonNetwork, DaemonStatus, DaemonVpn, Verdict } from '../core/protocol/daemon.ts';
import type { Remote } from '../core/vpn/tunnel.ts';
import { type Payloads, plainPayloads } from './encryption/payloads.ts';
import { EnginePresence } from './engine-presence.ts';
import { TaskFamilies } from './family/task-families.ts';
import { NodeHostRules } from './host-rules/node-rules.ts';
import type { Coordinator, NodeIdentity } from './interfaces/coordinator.ts';
import type { DaemonControl } from './interfaces/daemon-control.ts';
import type { HostFirewall } from './interfaces/host-firewall.ts';
import type { HostView, NetworkChoiceStore } from './interfaces/host-view.ts';
import type { RunFiles } from './interfaces/run-files.ts';
import type { VpnClient } from './interfaces/vpn-client.ts';
import { logIn } from './login.ts';
import { PortLeases } from './ports/leases.ts';
import type { SlotProxy } from './proxy/slot-proxy.ts';
import { NetworkKeeper } from './reconcile/network-keeper.ts';
import { recoverRuns } from './runs/recovery.ts';
import { RunManager } from './runs/run-manager.ts';
import { untilAnswered } from './server-patience.ts';
import { type OwnNetworks, settleNetworks } from './slots/own-networks.ts';
import { SlotPool } from './slots/slot-pool.ts';
import { Teardown } from './teardown.ts';
import { TunnelGate } from './tunnel-gate.ts';
import type { CredentialLadder } from './vpn/ladder.ts';
import { createRenewal, type Renewal } from './vpn/renewal.ts';
import { vpnReport } from './vpn/report.ts';
import { OFF_VERDICT, TRYING_VERDICT } from './vpn/verdict.ts';

export interface DaemonDeps {
  readonly context: Pick<Context, 'name' | 'scope'>;
  readonly config: NodeConfig;
  readonly engine: Engine;
  readonly coordinator: Coordinator;
  readonly firewall: HostFirewall;
  readonly host: HostView;
  readonly choices: NetworkChoiceStore;
  readonly files: RunFiles;
  readonly proxy: SlotProxy;
  /** What an encrypted collaboration needs; absent when `encryption.enabled` is not set. */
  readonly encryption?: EncryptionDeps;
  readonly clock: Clock;
  readonly logger: Logger;
  createVpnClient(networks: OwnNetworks): VpnClient;
  /** Whether the started VPN client has the tun device: only the engine knows whether the host has one. */
  hasTun(vpnClient: VpnClient): Promise<boolean>;
  /** Resolves when this process cannot reach the engine any more, whatever becomes of that; rejects with the signal. */
  untilEngineIsLost?(signal: AbortSignal): Promise<void>;
  createLadder(
    vpnClient: VpnClient,
    onRemotes: (remotes: readonly Remote[]) => Promise<void>,
  ): CredentialLadder;
  /** Starts to answer on the control socket. */
  serveControl(control: DaemonControl): Promise<{ close(): Promise<void> }>;
}

export interface DaemonOptions {
  /** How long an absent server is waited for at the start; default 20 s. */
  readonly loginLimitMs?: number;
}

/** What is there once the node has started. */
interface Live {
  readonly identity: NodeIdentity;
  readonly networks: OwnNetworks;
  readonly vpn: VpnClient;
  readonly slots: SlotPool;
  readonly runs: RunManager;
  readonly families: TaskFamilies;
  readonly ladder: CredentialLadder | undefined;
  readonly renewal: Renewal | undefined;
  readonly keys: KeyRing | undefined;
  readonly keeper: NetworkKeeper;
}

const LOGIN_LIMIT_MS = 20_000;
const CLEAR_ADDRESS_MS = 3000;
/** Events are hints that can get lost: the open runs are read again this often. */
const SYNC_EVERY_MS = 60_000;
/** A server that swaps our own key is noticed after this at the latest. */
const OWN_KEY_EVERY_MS = 300_000;

/** The node: from login to the last rule undone. `start` and `stop` are called by `v6 node run`, the rest by its control socket. */
export class NodeDaemon implements DaemonControl {
  readonly #deps: DaemonDeps;
  readonly #options: DaemonOptions;
  readonly #life = new AbortController();
  readonly #teardown: Teardown;
  readonly #presence: EnginePresence;
  readonly #startedAt: Date;
  #live: Live | undefined;
  #verdict: Verdict = TRYING_VERDICT;
  /** Fires with the first verdict. */
  readonly #judged = new AbortController();

  constructor(deps: DaemonDeps, options: DaemonOptions = {}) {
    this.#deps = deps;
    this.#options = options;
    this.#teardown = new Teardown(deps.logger);
    this.#presence = new EnginePresence(deps);
    this.#startedAt = deps.clock.now();
  }

  /**
   * Starts the node. When it cannot, everything that was done is undone and the failure is thrown: V6_SERVER_*, V6_AUTH_API_KEY,
   * V6_NODE_ENCRYPTION_MISMATCH, V6_ENCRYPTION_*, V6_NET_*, V6_ENGINE_*, V6_IMAGE_NOT_FOUND, V6_FIREWALL_APPLY. A VPN that does
   * not come up is no failure.
   */
  async start(signal: AbortSignal): Promise<void> {
    try {
      await this.#startAll(signal);
    } catch (error) {
      await this.stop().catch(() => undefined);
      throw error;
    }
  }

  /**
   * What the foreground waits for: resolves when the signal fires. Throws V6_ENGINE_MISSING when the engine is out of reach for
   * good; then `stop` leaves all of it to the next start.
   */
  async untilInterrupted(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const interrupted = new Promise<void>((resolve) =>
      either.addEventListener('abort', () => resolve(), { once: true }),
    );
    const lost = this.#deps.untilEngineIsLost?.(either).then(
      () => true,
      () => false,
    );
    try {
      if ((await Promise.race([interrupted, ...(lost === undefined ? [] : [lost])])) === true)
        throw socketReplaced();
    } finally {
      over.abort(new V6Error('V6_INTERRUPTED', 'Nobody waits any more'));
    }
  }

  /**
   * Ends all runs, tells the server, removes what was made. Safe to repeat. Throws one error that lists what could not be undone.
   * While the engine is away nothing of it is touched: the next start finds all as after a crash.
   */
  async stop(): Promise<void> {
    await this.#presence.beginStop();
    await this.#teardown.run();
    this.#life.abort(new V6Error('V6_INTERRUPTED', 'The node was stopped'));
  }

  status(): DaemonStatus {
    const { identity, slots, runs, vpn, ladder, keys, keeper } = this.#started();
    const { coordinator } = this.#deps;
    const tunnel = vpn.tunnel();
    const uses = slots.uses();
    return {
      node: {
        id: identity.id,
        name: this.#deps.context.name,
        organization: identity.organization,
        collaboration: identity.collaboration,
      },
      pid: process.pid,
      startedAt: this.#startedAt.toISOString(),
      server: { url: coordinator.session.baseUrl, connected: coordinator.events.connected },
      vpn: {
        ...this.#currentVerdict(),
        certificateExpiresAt: ladder?.certificate()?.notAfter.toISOString() ?? null,
        connectedSince: tunnel.kind === 'connected' ? tunnel.since.toISOString() : null,
      },
      encryption: keys?.status() ?? null,
      engine: this.#presence.status(),
      slots: { total: uses.length, busy: uses.filter(({ run }) => run !== null).length },
      runs: runs.list().map((run) => ({ ...run, since: run.since.toISOString() })),
      queued: runs.queued,
      queue: runs.queue,
      network: keeper.status(),
    };
  }

  async verdict(waitMs: number): Promise<Verdict> {
    await this.#deps.clock.sleep(waitMs, this.#judged.signal).catch(() => undefined);
    return this.#currentVerdict();
  }

  async renew(force: boolean): Promise<Verdict> {
    const { ladder } = this.#started();
    return ladder === undefined ? this.#currentVerdict() : ladder.renew(force);
  }

  async vpn(): Promise<DaemonVpn> {
    const { vpn, ladder, renewal } = this.#started();
    return vpnReport({
      verdict: this.#currentVerdict(),
      tunnel: vpn.tunnel(),
      client: await vpn.describe(),
      certificate: ladder?.certificate(),
      renewsAt: renewal?.dueAt(),
      lastError: ladder?.lastError(),
    });
  }

  async disconnect(): Promise<Verdict> {
    const { ladder } = this.#started();
    return ladder === undefined ? this.#currentVerdict() : ladder.disconnect();
  }

  async release(): Promise<Verdict> {
    const { ladder } = this.#started();
    return ladder === undefined ? this.#currentVerdict() : ladder.release();
  }

  async connect(): Promise<Verdict> {
    const { ladder } = this.#started();
    return ladder === undefined ? this.#currentVerdict() : ladder.connect();
  }

  async network(): Promise<DaemonNetwork> {
    const { networks, slots, vpn, families } = this.#started();
    const { container, running, rules, refusals = {} } = await vpn.describe();
    const host = await this.#deps.firewall.inspect();
    return {
      uplink: networks.uplink,
      slots: slots.uses().map(({ slot, run }) => ({
        network: slot.network,
        subnet: slot.subnet,
        bridge: slot.bridge,
        run,
      })),
      vpnClient: { container, running, rules },
      runs: families.describe(),
      refusals: Object.entries(refusals).flatMap(([run, refused]) =>
        refused.map((one) => ({ run: Number(run), ...one })),
      ),
      hostRules: host.rules,
      host,
    };
  }

  async #startAll(signal: AbortSignal): Promise<void> {
    const { deps, owner } = this.#parts();
    const { config, coordinator, logger } = deps;
    // First of all: it finds out whether this node runs already.
    const control = await deps.serveControl(this);
    this.#teardown.add('control socket', () => control.close());
    await this.#presence.learn();
    const identity = await logIn(
      { ...deps, session: coordinator.session },
      {
        encrypted: config.encrypted,
        limitMs: this.#options.loginLimitMs ?? LOGIN_LIMIT_MS,
        signal,
      },
    );
    logger.info('The node has logged in', {
      node: identity.id,
      organization: identity.organization,
      collaboration: identity.collaboration,
      server: coordinator.session.baseUrl,
    });
    const keys = await this.#openKeys(identity, signal);
    const networks = await settleNetworks(
      { ...deps, networks: deps.engine.networks },
      owner,
      config,
    );
    this.#undoWithEngine('uplink network', async () => {
      if (networks.isOwnUplink) await deps.engine.networks.remove(networks.uplink);
    });
    const hostRules = new NodeHostRules(
      deps,
      `${owner.scope}/${owner.node}`,
      networks.uplinkBridge,
    );
    this.#undoWithEngine('host rules', () => hostRules.undo());
    await hostRules.begin();
    const vpn = deps.createVpnClient(networks);
    const slots = this.#createSlots(vpn, networks.isolatedRange);
    const open = await untilAnswered(deps, 'open runs', signal, () =>
      coordinator.runs.listOpen(undefined, signal),
    );
    const node = { scope: owner.scope, name: owner.node };
    const recovery = await recoverRuns({ ...deps, node }, open, networks.isolatedRange);
    const prepared = await slots.prepare(recovery.busySlots);
    signal.throwIfAborted();
    this.#undoWithEngine(
      'VPN client',
      () => vpn.remove(),
      () => vpn.close(),
    );
    const busy = prepared.filter(({ index }) => recovery.busySlots.has(index));
    await vpn.start(
      prepared,
      busy.map(({ algorithm }) => algorithm),
    );
    signal.throwIfAborted();
    const hasTun = config.vpnSubnet !== undefined && (await deps.hasTun(vpn));
    const ladder = hasTun
      ? deps.createLadder(vpn, async (remotes) => {
          await hostRules.apply(remotes);
        })
      : undefined;
    const gate = this.#startVpn(vpn, ladder);
    const families = this.#createFamilies(identity, vpn);
    const payloads = keys ?? plainPayloads;
    const runs = this.#createRuns({ identity, vpn, slots, gate, payloads, families });
    const renewal = ladder && createRenewal({ ...deps, ladder });
    const keeper = new NetworkKeeper({ ...deps, owner, networks, slots, vpn, hostRules });
    this.#live = { identity, networks, vpn, slots, runs, families, ladder, renewal, keys, keeper };
    void renewal?.run(this.#life.signal);
    runs.adopt(recovery);
    this.#listen(runs, families, keys);
    this.#teardown.add('network checks', () => keeper.stop());
    keeper.start();
    logger.info('The node has started', { node: identity.id, slots: prepared.length });
  }

  /** A step of the teardown that only the engine can carry out. */
  #undoWithEngine(what: string, undo: () => Promise<void>, otherwise?: () => Promise<void>): void {
    this.#teardown.add(what, () => this.#presence.unlessGone(undo, otherwise));
  }

  #createSlots(vpn: VpnClient, range: Cidr): SlotPool {
    const { deps, owner } = this.#parts();
    const { networks, containers } = deps.engine;
    this.#teardown.add('proxy', () => deps.proxy.closeAll());
    const slots = new SlotPool(
      {
        ...deps,
        networks,
        containers,
        vpn,
        listeners: deps.proxy,
        onDamage: (what) => this.#live?.keeper.request(what),
      },
      { ...owner, range, spare: deps.config.spareSlots },
    );
    this.#undoWithEngine('slots', () => slots.close());
    return slots;
  }

  /** The ladder climbs beside everything else; the gate keeps the server's view of the tunnel. */
  #startVpn(vpn: VpnClient, ladder: CredentialLadder | undefined): TunnelGate {
    const { deps } = this.#parts();
    const climbing = new AbortController();
    const gate = new TunnelGate(
      { ...deps, vpn: deps.coordinator.vpn },
      { enabled: ladder !== undefined, signal: climbing.signal },
    );
    this.#teardown.add('tunnel', async () => {
      climbing.abort(new V6Error('V6_INTERRUPTED', 'The node is stopping'));
      await gate.clear(CLEAR_ADDRESS_MS);
    });
    vpn.onTunnelChange((state) => gate.follow(state));
    gate.follow(vpn.tunnel());
    if (ladder === undefined) {
      this.#verdict = deps.config.vpnSubnet === undefined ? OFF_VERDICT : tunMissing();
      if (this.#verdict.warning !== null)
        deps.logger.warn('The node runs without VPN', this.#verdict.warning);
      this.#judged.abort(new Error('the verdict is there'));
      return gate;
    }
    ladder.onVerdict((verdict) => {
      this.#verdict = verdict;
    });
    void this.#climb(ladder, climbing.signal).finally(() => {
      this.#judged.abort(new Error('the verdict is there'));
      gate.openForRuns();
    });
    return gate;
  }

  async #climb(ladder: CredentialLadder, signal: AbortSignal): Promise<void> {
    try {
      this.#verdict = await ladder.run(signal);
    } catch (error) {
      if (!signal.aborted) this.#deps.logger.error('The credential ladder failed', { error });
    }
  }

  #createRuns(parts: {
    identity: NodeIdentity;
    vpn: VpnClient;
    slots: SlotPool;
    gate: TunnelGate;
    payloads: Payloads;
    families: TaskFamilies;
  }): RunManager {
    const { deps, owner } = this.#parts();
    const runs = new RunManager(
      {
        ...deps,
        ...parts,
        node: { scope: owner.scope, name: owner.node },
        runs: deps.coordinator.runs,
        events: deps.coordinator.events,
        organizations: deps.coordinator.organizations,
        ports: new PortLeases(),
      },
      this.#life.signal,
    );
    parts.gate.onUp(() => runs.tunnelIsUp());
    return runs;
  }

  /** Who may speak with the algorithms of this node, for as long as they run. */
  #createFamilies({ id: self }: NodeIdentity, vpn: VpnClient): TaskFamilies {
    const { deps } = this.#parts();
    const { vpnSubnet } = deps.config;
    const server = deps.coordinator.family;
    const families = new TaskFamilies({ ...deps, server, vpn, self, vpnSubnet }, this.#life.signal);
    deps.proxy.useFamilies(families);
    return families;
  }

  /** In an encrypted collaboration: our public key at the server, and bodies of algorithms encrypted on their way. */
  async #openKeys(identity: NodeIdentity, signal: AbortSignal): Promise<KeyRing | undefined> {
    const { deps } = this.#parts();
    if (deps.encryption === undefined) return undefined;
    const { organizations } = deps.coordinator;
    const own = identity.organization;
    const keys = new KeyRing({ ...deps, ...deps.encryption, own, organizations });
    await untilAnswered(deps, 'public key', signal, () => keys.register(signal));
    deps.proxy.usePayloads(keys);
    return keys;
  }

  #listen(runs: RunManager, families: TaskFamilies, keys: KeyRing | undefined): void {
    const { deps } = this.#parts();
    const listening = new AbortController();
    // The socket stays until the runs have ended, so that others hear of their ends.
    this.#teardown.add('socket', async () =>
      listening.abort(new V6Error('V6_INTERRUPTED', 'The node is stopping')),
    );
    this.#teardown.add('runs', () => runs.stop(this.#presence.nodeStop));
    deps.coordinator.events.listen(
      {
        onSync: () => {
          runs.requestSync();
          families.hint();
        },
        onNewTask: ({ id, parent_id: parent }) => {
          runs.requestSync(id);
          // Its nodes will call algorithms of the parent.
          families.hint({ task: id, parent });
        },
        onStatus: (change) => families.onStatus(change),
        onAddressChange: ({ node_id }) => families.onAddressChange(node_id),
        onKill: (kill) => runs.kill(kill),
      },
      listening.signal,
    );
    void this.#regularly(SYNC_EVERY_MS, listening.signal, () => runs.requestSync());
    if (keys !== undefined)
      void this.#regularly(OWN_KEY_EVERY_MS, listening.signal, () =>
        keys.checkOwn(listening.signal),
      );
  }

  /** At once, and then again and again. */
  async #regularly(
    everyMs: number,
    signal: AbortSignal,
    work: () => void | Promise<void>,
  ): Promise<void> {
    try {
      for (;;) {
        await work();
        await this.#deps.clock.sleep(everyMs, signal);
      }
    } catch {
      // The node is stopping.
    }
  }

  #currentVerdict(): Verdict {
    return this.#live?.ladder?.verdict() ?? this.#verdict;
  }

  #started(): Live {
    if (this.#live !== undefined) return this.#live;
    throw new V6Error('V6_NODE_NOT_READY', 'The node has not started yet', {
      hints: ['Ask again in a moment.'],
    });
  }

  #parts() {
    const { scope, name } = this.#deps.context;
    return { deps: this.#deps, owner: { scope, node: name } };
  }
}

function tunMissing(): Verdict {
  return {
    state: 'without',
    rung: 'without',
    vpnAddress: null,
    portalCalls: 0,
    warning: {
      code: 'V6_NET_TUN_MISSING',
      message: 'This host has no tun device (/dev/net/tun): the node runs without VPN',
      hints: [
        'Load the driver: modprobe tun',
        'Then restart the node: v6 node stop; v6 node start',
      ],
    },
    steps: [],
  };
}

function socketReplaced(): V6Error {
  return new V6Error(
    'V6_ENGINE_MISSING',
    'The container engine has another socket since its restart: the daemon of this node ends, and the engine starts it again',
    { hints: ['The runs go on. If the daemon does not come back: v6 node start'] },
  );
}
