import type { NetworkState, Networks } from '../../src/core/engine/engine.ts';
import type { ErrorCode } from '../../src/core/errors.ts';
import { V6Error } from '../../src/core/errors.ts';
import { names } from '../../src/core/labels.ts';
import type { Ipv4 } from '../../src/core/net/ipv4.ts';
import type { Slot } from '../../src/core/vpn/slot.ts';
import type { Refusal, RunNetwork } from '../../src/core/vpn/task-firewall.ts';
import type { TunnelOutcome, TunnelState } from '../../src/core/vpn/tunnel.ts';
import type { Drift } from '../../src/node/interfaces/drift.ts';
import type { VpnClient, VpnClientReport } from '../../src/node/interfaces/vpn-client.ts';

const CLIENT = names.vpnClient('alpha', 'user');

/** A VPN client in memory: what is attached and mapped, and a tunnel that the test turns. */
export class FakeVpnClient implements VpnClient {
  readonly slots = new Map<number, Slot>();
  readonly networks = new Map<number, RunNetwork>();
  /** The mappings alone, by run. */
  get mappings(): ReadonlyMap<number, RunNetwork['mappings']> {
    return new Map([...this.networks].map(([run, { mappings }]) => [run, mappings]));
  }
  /** What the task firewall refused, by the algorithm's address. */
  readonly refused = new Map<string, readonly Refusal[]>();
  readonly journal: string[] = [];
  isRunning = false;
  outcome: TunnelOutcome = { ok: true, address: '10.206.0.5' as Ipv4 };
  readonly #listeners: ((state: TunnelState) => void)[] = [];
  readonly #failures = new Map<string, ErrorCode>();
  #tunnel: TunnelState = { kind: 'off' };

  /** The next call of a method throws this code. */
  failNext(method: 'start' | 'attachSlot' | 'cleanSlot' | 'applyRun', code: ErrorCode): void {
    this.#failures.set(method, code);
  }

  setTunnel(state: TunnelState): void {
    this.#tunnel = state;
    for (const listener of this.#listeners) listener(state);
  }

  /** The tunnel is up with this address. */
  up(address: string): void {
    this.setTunnel({ kind: 'connected', since: new Date(0), address: address as Ipv4 });
  }

  down(): void {
    this.setTunnel({ kind: 'connecting', since: new Date(0) });
  }

  /** The engine's networks as they are with this client connected to its slots. */
  seenIn<T extends Pick<Networks, 'ensure' | 'find'>>(networks: T): T {
    const seen = (network: NetworkState): NetworkState => {
      const slot = [...this.slots.values()].find((each) => each.network === network.name);
      if (slot === undefined) return network;
      return { ...network, containers: { ...network.containers, [CLIENT]: slot.client } };
    };
    return {
      ...networks,
      ensure: async (spec) => seen(await networks.ensure(spec)),
      find: async (name) => {
        const found = await networks.find(name);
        return found && seen(found);
      },
    };
  }

  async start(slots: readonly Slot[]): Promise<void> {
    this.#check('start');
    this.isRunning = true;
    for (const slot of slots) this.slots.set(slot.index, slot);
  }

  async attachSlot(slot: Slot): Promise<void> {
    this.#check('attachSlot');
    this.slots.set(slot.index, slot);
  }

  async detachSlot(slot: Slot): Promise<void> {
    this.slots.delete(slot.index);
  }

  async cleanSlot(slot: Slot): Promise<void> {
    this.#check('cleanSlot');
    this.journal.push(`clean ${slot.index}`);
  }

  async applyRun(run: number, network: RunNetwork): Promise<void> {
    this.#check('applyRun');
    this.journal.push(`map ${run}`);
    this.networks.set(run, network);
  }

  async removeRun(run: number): Promise<void> {
    this.journal.push(`unmap ${run}`);
    this.networks.delete(run);
  }

  async takeRefusals({ algorithm }: Pick<RunNetwork, 'algorithm'>): Promise<readonly Refusal[]> {
    const refused = this.refused.get(algorithm) ?? [];
    this.refused.delete(algorithm);
    return refused;
  }

  async reconcile(): Promise<readonly Drift[]> {
    return [];
  }

  async connect(): Promise<TunnelOutcome> {
    if (this.outcome.ok) this.up(this.outcome.address);
    return this.outcome;
  }

  async disconnect(): Promise<void> {
    this.setTunnel({ kind: 'off' });
  }

  tunnel(): TunnelState {
    return this.#tunnel;
  }

  onTunnelChange(listener: (state: TunnelState) => void): void {
    this.#listeners.push(listener);
  }

  onDisturbance(): void {}

  async describe(): Promise<VpnClientReport> {
    return { container: 'fake', running: this.isRunning, tunnel: this.#tunnel, rules: '' };
  }

  async close(): Promise<void> {}

  async remove(): Promise<void> {
    this.isRunning = false;
    this.slots.clear();
    this.networks.clear();
  }

  #check(method: string): void {
    const code = this.#failures.get(method);
    if (code === undefined) return;
    this.#failures.delete(method);
    throw new V6Error(code, `${method} was told to fail`);
  }
}
