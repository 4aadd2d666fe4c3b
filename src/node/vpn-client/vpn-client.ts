import type { Clock } from '../../core/clock.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import type { Ipv4 } from '../../core/net/ipv4.ts';
import { isIpv4 } from '../../core/net/ipv4.ts';
import { literalRemotes, parseClientConfig } from '../../core/vpn/client-config.ts';
import { renderClientConfig } from '../../core/vpn/client-render.ts';
import type { Management } from '../../core/vpn/management.ts';
import { CLIENT_TABLE, checkSlot, parseCounters } from '../../core/vpn/rules.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { Refusal, RunNetwork } from '../../core/vpn/task-firewall.ts';
import type { Remote, TunnelOutcome, TunnelState } from '../../core/vpn/tunnel.ts';
import type { Drift } from '../interfaces/drift.ts';
import type { VpnClient, VpnClientReport } from '../interfaces/vpn-client.ts';
import { ClientContainerKeeper, type ContainerDeps } from './client-container.ts';
import { ClientLink } from './client-link.ts';
import { monitorClient } from './client-monitor.ts';
import { ClientRules } from './client-rules.ts';
import type { CommandStream } from './command-stream.ts';
import { slotLost, tunMissing, unanswered } from './failures.ts';
import { claimCommand, cleanCommand, readClaims } from './slot-claims.ts';
import { StateFolder } from './state-folder.ts';
import { TunnelWatch } from './tunnel-watch.ts';

export interface VpnClientDeps extends ContainerDeps {
  readonly engine: Engine;
  /** Opens the management socket of openvpn, now or when it appears. */
  readonly openManagement: (socketPath: string) => Management;
  readonly clock: Clock;
}

/** A tunnel with a good file is up within half a second of its container's start, ms. */
const ADOPTION_PATIENCE_MS = 1500;
/** What a change that is under way may take when the client is let go, ms: one that waits for an engine that hangs never ends. */
const CLOSING_PATIENCE_MS = 3000;

/** Drives one VPN client container; see the interface. Nothing happens before `start`. */
export function createVpnClient(deps: VpnClientDeps): VpnClient {
  return new DockerVpnClient(deps);
}

class DockerVpnClient implements VpnClient {
  readonly #deps: VpnClientDeps;
  readonly #container: ClientContainerKeeper;
  readonly #folder: StateFolder;
  readonly #watch: TunnelWatch;
  readonly #link: ClientLink;
  readonly #closing = new AbortController();
  // The desired state: all of it is applied again whenever the container or the stream was lost.
  readonly #slots = new Map<number, Slot>();
  readonly #rules: ClientRules;
  #credential: string | undefined;
  /** Files that were handed to openvpn. */
  #tries = 0;
  #management: Management | undefined;
  /** One change at a time: rules, slots and tunnel are shared by all runs. */
  #changes: Promise<unknown> = Promise.resolve();
  /** Changes that have begun or wait. */
  #underWay = 0;

  constructor(deps: VpnClientDeps) {
    this.#deps = deps;
    this.#container = new ClientContainerKeeper(deps);
    this.#folder = new StateFolder(deps.runDir);
    this.#rules = new ClientRules({
      isolatedRange: deps.isolatedRange,
      vpnSubnet: deps.vpnSubnet,
      folder: this.#folder,
      run: (command) => this.#link.run(command),
    });
    this.#watch = new TunnelWatch(
      { clock: deps.clock, logger: deps.logger, subnet: deps.vpnSubnet },
      {
        onDefiniteFailure: () => {
          const tried = this.#tries;
          void this.#background(async () => {
            if (this.#tries === tried) await this.#takeCredentialAway();
          });
        },
        onFrozen: () => void this.#background(() => this.#killFrozen()),
      },
    );
    this.#link = new ClientLink({
      ...deps,
      container: this.#container,
      signal: this.#closing.signal,
      serial: (change) => this.#serial(change),
      slots: () => [...this.#slots.values()],
      apply: (stream) => this.#applyAll(stream),
    });
  }

  start(slots: readonly Slot[], busy: readonly Ipv4[] = []): Promise<void> {
    return this.#serial(async () => {
      for (const slot of slots) {
        checkSlot(slot, this.#deps.isolatedRange);
        this.#slots.set(slot.index, slot);
      }
      await this.#folder.prepare();
      await this.#folder.saveSlots([...this.#slots.values()]);
      await this.#rules.prepare(await this.#adoptCredential(), busy);
      await this.#container.ensure([...this.#slots.values()]);
      await this.#link.openFirst();
      this.#management = this.#deps.openManagement(this.#folder.managementSocket);
      this.#watch.attach(this.#management);
      await this.#awaitAdoptedTunnel();
    });
  }

  attachSlot(slot: Slot): Promise<void> {
    checkSlot(slot, this.#deps.isolatedRange);
    return this.#serial(async () => {
      await this.#container.attach(slot);
      this.#slots.set(slot.index, slot);
      try {
        await this.#folder.saveSlots([...this.#slots.values()]);
        const { lost } = readClaims(await this.#link.run(claimCommand([slot])), [slot]);
        if (lost.length > 0) throw slotLost(slot);
      } catch (error) {
        this.#slots.delete(slot.index);
        await this.#folder.saveSlots([...this.#slots.values()]);
        await this.#container.detach(slot);
        throw error;
      }
    });
  }

  detachSlot(slot: Slot): Promise<void> {
    checkSlot(slot, this.#deps.isolatedRange);
    return this.#serial(async () => {
      this.#slots.delete(slot.index);
      await this.#folder.saveSlots([...this.#slots.values()]);
      await this.#link.run(`release ${slot.index}`);
      await this.#container.detach(slot);
    });
  }

  cleanSlot(slot: Slot): Promise<void> {
    checkSlot(slot, this.#deps.isolatedRange);
    return this.#serial(async () => {
      this.#rules.disinherit(slot.algorithm);
      if (this.#slots.has(slot.index)) await this.#link.run(cleanCommand(slot));
    });
  }

  applyRun(run: number, network: RunNetwork): Promise<void> {
    return this.#serial(() => this.#rules.setRun(run, network));
  }

  removeRun(run: number, algorithm: Ipv4): Promise<void> {
    if (!isIpv4(algorithm)) throw new RangeError(`not an address: ${String(algorithm)}`);
    return this.#serial(() => this.#rules.removeRun(run, algorithm));
  }

  takeRefusals(run: Pick<RunNetwork, 'algorithm' | 'mappings'>): Promise<readonly Refusal[]> {
    return this.#serial(() => this.#rules.takeRefusals(run, this.#watch.lastAddress));
  }

  reconcile(): Promise<readonly Drift[]> {
    return this.#serial(async () => {
      const slots = await this.#link.reconcile();
      const address = (): Ipv4 | undefined => {
        const { state } = this.#watch;
        return state.kind === 'connected' ? state.address : undefined;
      };
      return [...slots, ...(await this.#rules.reconcile(address))];
    });
  }

  async connect(
    clientConfig: string,
    options: Parameters<VpnClient['connect']>[1],
  ): Promise<TunnelOutcome> {
    const { subnet, limitMs, signal } = options;
    const config = parseClientConfig(clientConfig);
    const remotes = literalRemotes(config);
    const text = renderClientConfig(config, { resolvedRemotes: remotes, subnet });
    signal?.throwIfAborted();
    if (!this.#container.hasTun) return { ok: false, failure: tunMissing(this.#deps.vpnSubnet) };
    const waiting = new AbortController();
    const outcome = await this.#serial(async () => {
      const state = this.#watch.state;
      if (state.kind === 'connected' && this.#credential === text)
        return { answer: Promise.resolve<TunnelOutcome>({ ok: true, address: state.address }) };
      const before = this.#rules.remotes;
      await this.#rules.setRemotes(remotes);
      try {
        await this.#folder.saveCredential(text);
      } catch (error) {
        await this.#rules.setRemotes(before);
        throw error;
      }
      this.#watch.expect();
      const answer = this.#watch.outcome();
      this.#tries += 1;
      this.#credential = text;
      // A tunnel that is up is down from here until the next one stands: flows of runs go over it.
      await this.#link.run('vpn_replace');
      return { answer };
    });
    const limit = this.#deps.clock
      .sleep(limitMs, anySignal(signal, waiting.signal, this.#closing.signal))
      .then(() => this.#noAnswer(limitMs));
    try {
      return await Promise.race([outcome.answer, limit]);
    } finally {
      limit.catch(() => undefined);
      waiting.abort();
    }
  }

  disconnect(): Promise<void> {
    return this.#serial(async () => {
      await this.#takeCredentialAway();
      await this.#rules.setRemotes([]);
      this.#watch.off();
    });
  }

  tunnel(): TunnelState {
    return this.#watch.state;
  }

  onTunnelChange(listener: (state: TunnelState) => void): void {
    this.#watch.onChange(listener);
  }

  onDisturbance(listener: (hint: string, urgency: 'now' | 'soon') => void): void {
    void monitorClient({
      ...this.#deps,
      container: this.#container,
      signal: this.#closing.signal,
      isChanging: () => this.#underWay > 0,
      onChange: listener,
    });
  }

  async describe(): Promise<VpnClientReport> {
    const running = (await this.#container.find())?.state === 'running';
    const { bytes } = this.#watch;
    const rules = running
      ? (await this.#serial(() => this.#link.run(`nft list table ${CLIENT_TABLE}`))).join('\n')
      : '';
    return {
      container: this.#container.name,
      running,
      tunnel: this.#watch.state,
      rules,
      counters: parseCounters(rules),
      refusals: this.#rules.refusals(rules, this.#watch.lastAddress),
      ...(bytes ? { bytes } : {}),
    };
  }

  async close(): Promise<void> {
    this.#letGo();
    const waiting = new AbortController();
    const limit = this.#deps.clock.sleep(CLOSING_PATIENCE_MS, waiting.signal);
    await Promise.race([this.#changes, limit]);
    limit.catch(() => undefined);
    waiting.abort();
  }

  async remove(): Promise<void> {
    this.#letGo();
    await this.#changes;
    await this.#container.remove();
    await this.#folder.remove();
  }

  #letGo(): void {
    this.#watch.silence();
    this.#closing.abort(new V6Error('V6_INTERRUPTED', 'The VPN client is being let go'));
    this.#management?.close();
    this.#link.close();
  }

  // ---- desired state

  async #takeCredentialAway(): Promise<void> {
    this.#credential = undefined;
    await this.#folder.removeCredential();
    await this.#link.run('vpn_stop');
  }

  /** A daemon that starts again finds the tunnel of the one before, and leaves it up. Resolves with the remotes of its file. */
  async #adoptCredential(): Promise<readonly Remote[]> {
    const text =
      this.#deps.vpnSubnet === undefined ? undefined : await this.#folder.findCredential();
    if (text === undefined) {
      await this.#folder.removeCredential();
      return [];
    }
    try {
      const remotes = literalRemotes(parseClientConfig(text));
      this.#credential = text;
      this.#watch.expect();
      return remotes;
    } catch (error) {
      this.#deps.logger.warn('The client config of an earlier start is not usable; left out', {
        code: toV6Error(error).code,
      });
      await this.#folder.removeCredential();
      return [];
    }
  }

  /** A moment for the tunnel that may be up already, so that `connect` with the same file need not start it anew. */
  async #awaitAdoptedTunnel(): Promise<void> {
    if (this.#credential === undefined) return;
    const limit = this.#deps.clock.sleep(ADOPTION_PATIENCE_MS, this.#closing.signal);
    await Promise.race([this.#watch.outcome(), limit]);
    limit.catch(() => undefined);
  }

  // ---- carried out

  async #applyAll(stream: CommandStream): Promise<void> {
    const slots = [...this.#slots.values()];
    const { lost } = readClaims(await stream.run(claimCommand(slots)), slots);
    for (const slot of lost)
      this.#deps.logger.warn('A slot could not be claimed; its algorithm has no way out', {
        network: slot.network,
        code: slotLost(slot).code,
      });
    await this.#rules.applyAll(stream);
    if (this.#credential !== undefined) {
      await stream.run('wake');
      return;
    }
    // One whose end was lost with the last stream, or that an earlier daemon left, would hold its tunnel without a file.
    await stream.run('vpn_stop');
    const { kind } = this.#watch.state;
    if (kind === 'connected' || kind === 'connecting') this.#watch.off();
  }

  async #killFrozen(): Promise<void> {
    this.#deps.logger.warn('openvpn does not answer any more; it is started again', {
      container: this.#container.name,
    });
    await this.#link.run('vpn_kill');
  }

  #noAnswer(limitMs: number): TunnelOutcome {
    const { state } = this.#watch;
    const last = state.kind === 'connecting' ? state.lastFailure : undefined;
    return { ok: false, failure: last ?? unanswered(limitMs) };
  }

  #background(change: () => Promise<void>): Promise<void> {
    return this.#serial(change).catch((error: unknown) => {
      if (this.#closing.signal.aborted) return;
      this.#deps.logger.warn('The VPN client did not do as it was told', {
        code: toV6Error(error).code,
        error,
      });
    });
  }

  #serial<T>(change: () => Promise<T>): Promise<T> {
    this.#underWay += 1;
    const result = this.#changes.then(change, change).finally(() => {
      this.#underWay -= 1;
    });
    this.#changes = result.catch(() => undefined);
    return result;
  }
}

function anySignal(...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}
