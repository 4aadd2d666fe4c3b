import type { ErrorCode } from '../../src/core/errors.ts';
import { V6Error } from '../../src/core/errors.ts';
import type { Ipv4 } from '../../src/core/net/ipv4.ts';
import type { Slot } from '../../src/core/vpn/slot.ts';
import type { PortMapping, TunnelOutcome, TunnelState } from '../../src/core/vpn/tunnel.ts';
import type { VpnClient, VpnClientReport } from '../../src/node/interfaces/vpn-client.ts';

/** A VPN client in memory: what is attached and mapped, and a tunnel that the test turns. */
export class FakeVpnClient implements VpnClient {
  readonly slots = new Map<number, Slot>();
  readonly mappings = new Map<number, readonly PortMapping[]>();
  readonly journal: string[] = [];
  isRunning = false;
  outcome: TunnelOutcome = { ok: true, address: '10.206.0.5' as Ipv4 };
  readonly #listeners: ((state: TunnelState) => void)[] = [];
  readonly #failures = new Map<string, ErrorCode>();
  #tunnel: TunnelState = { kind: 'off' };

  /** The next call of a method throws this code. */
  failNext(
    method: 'start' | 'attachSlot' | 'cleanSlot' | 'applyPortMappings',
    code: ErrorCode,
  ): void {
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

  async applyPortMappings(run: number, mappings: readonly PortMapping[]): Promise<void> {
    this.#check('applyPortMappings');
    this.journal.push(`map ${run}`);
    this.mappings.set(run, mappings);
  }

  async removePortMappings(run: number): Promise<void> {
    this.journal.push(`unmap ${run}`);
    this.mappings.delete(run);
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

  async describe(): Promise<VpnClientReport> {
    return { container: 'fake', running: this.isRunning, tunnel: this.#tunnel, rules: '' };
  }

  async close(): Promise<void> {}

  async remove(): Promise<void> {
    this.isRunning = false;
    this.slots.clear();
    this.mappings.clear();
  }

  #check(method: string): void {
    const code = this.#failures.get(method);
    if (code === undefined) return;
    this.#failures.delete(method);
    throw new V6Error(code, `${method} was told to fail`);
  }
}
