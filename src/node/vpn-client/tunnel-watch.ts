import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import { type Cidr, containsAddress, type Ipv4 } from '../../core/net/ipv4.ts';
import type { Management, ManagementEvent } from '../../core/vpn/management.ts';
import type { TunnelFailure, TunnelOutcome, TunnelState } from '../../core/vpn/tunnel.ts';
import {
  type Attempt,
  type AttemptResult,
  advance,
  newAttempt,
} from '../../core/vpn/tunnel-attempt.ts';

/** What the watch asks for; each is done by the VPN client. */
export interface WatchActions {
  /** The same file cannot work again: end openvpn. */
  onDefiniteFailure(failure: TunnelFailure): void;
  /** openvpn lives and does nothing: kill it. */
  onFrozen(): void;
}

/** OpenVPN's `--keepalive` pushes it; used while it is not known, seconds. */
const DEFAULT_PING_SECONDS = 10;
/** What our client config asks for; with the 208 KiB that a stock Linux grants (net.core.rmem_max) packets are lost at speed. */
const WANTED_BUFFER_BYTES = 1024 * 1024;
/** The kernel reserves as much again for itself, and tells the sum: socket(7), SO_RCVBUF. */
const TOLD_PER_GRANTED = 2;

/** Keeps the state of the tunnel from the events of the management socket. */
export class TunnelWatch {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #subnet: Cidr | undefined;
  readonly #actions: WatchActions;
  readonly #listeners: ((state: TunnelState) => void)[] = [];
  #waiters: ((outcome: TunnelOutcome) => void)[] = [];
  #state: TunnelState = { kind: 'off' };
  #attempt: Attempt = newAttempt;
  /** False between the end of one openvpn and the beginning of the next that is meant: late events of the old one. */
  #isArmed = false;
  #bytes: { readonly received: number; readonly sent: number } | undefined;
  #dataAt = 0;
  #hasWarned = false;
  #hasWarnedOfIpv6 = false;
  #lastAddress: Ipv4 | undefined;

  constructor(
    deps: { clock: Clock; logger: Logger; subnet: Cidr | undefined },
    actions: WatchActions,
  ) {
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#subnet = deps.subnet;
    this.#actions = actions;
  }

  attach(management: Management): void {
    management.onEvent((event) => this.#on(event));
  }

  get state(): TunnelState {
    return this.#state;
  }

  /** The tunnel address, or the last that there was: tun0 keeps it from one openvpn to the next. */
  get lastAddress(): Ipv4 | undefined {
    return this.#lastAddress;
  }

  /** Bytes over the link; undefined unless connected. */
  get bytes(): { readonly received: number; readonly sent: number } | undefined {
    return this.#state.kind === 'connected' ? this.#bytes : undefined;
  }

  onChange(listener: (state: TunnelState) => void): void {
    this.#listeners.push(listener);
  }

  silence(): void {
    this.#listeners.length = 0;
  }

  /** A credential is there: the next openvpn that appears is the one that counts. */
  expect(): void {
    this.#isArmed = false;
    this.#attempt = newAttempt;
    this.#set({ kind: 'connecting', since: this.#clock.now() });
  }

  /** No credential, no tunnel. */
  off(): void {
    this.#isArmed = false;
    this.#set({ kind: 'off' });
  }

  fail(failure: TunnelFailure): void {
    this.#isArmed = false;
    this.#set({ kind: 'failed', since: this.#clock.now(), failure });
  }

  /** Resolves with the next definite answer; the caller sets the limit. */
  outcome(): Promise<TunnelOutcome> {
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  #on(event: ManagementEvent): void {
    if (event.type === 'open') this.#isArmed = true;
    if (!this.#isArmed || this.#state.kind === 'off') return;
    switch (event.type) {
      case 'closed':
        this.#isArmed = false;
        // Only openvpn itself tells that it is gone: the stream of commands may be lost without it, with the engine for example.
        if (this.#state.kind === 'connected')
          this.#set({ kind: 'connecting', since: this.#clock.now() });
        return;
      case 'frozen':
        this.#actions.onFrozen();
        return;
      case 'bytes':
        this.#onBytes(event);
        return;
      case 'log':
        this.#onLog(event.message);
        break;
      default:
    }
    const { attempt, result } = advance(this.#attempt, event);
    this.#attempt = attempt;
    if (result) this.#onResult(result);
  }

  #onResult(result: AttemptResult): void {
    const since = this.#clock.now();
    switch (result.kind) {
      case 'connected': {
        const { address, remote } = result;
        if (this.#subnet !== undefined && !containsAddress(this.#subnet, address)) {
          this.#onFailure(subnetMismatch(address, this.#subnet));
          return;
        }
        this.#dataAt = since.getTime();
        this.#bytes = undefined;
        this.#set({ kind: 'connected', since, address, ...(remote ? { remote } : {}) });
        return;
      }
      case 'lost':
        this.#set({ kind: 'connecting', since });
        return;
      case 'failure':
        this.#onFailure(result.failure);
    }
  }

  #onFailure(failure: TunnelFailure): void {
    if (failure.definite) {
      this.fail(failure);
      this.#actions.onDefiniteFailure(failure);
      return;
    }
    const since = this.#state.kind === 'off' ? this.#clock.now() : this.#state.since;
    this.#set({ kind: 'connecting', since, lastFailure: failure });
  }

  /** Connected is not enough: the server's keep-alive packets must come (design section 4, level `data`). */
  #onBytes(bytes: { readonly received: number; readonly sent: number }): void {
    if (this.#state.kind !== 'connected') return;
    const now = this.#clock.now().getTime();
    const before = this.#bytes;
    this.#bytes = { received: bytes.received, sent: bytes.sent };
    if (before === undefined || bytes.received > before.received) {
      this.#dataAt = now;
      return;
    }
    const limitMs = 2000 * (this.#attempt.pingSeconds ?? DEFAULT_PING_SECONDS);
    // The counter comes every 5 s: later than the limit by up to that much.
    if (now - this.#dataAt <= Math.max(limitMs, 10_000)) return;
    this.#set({
      kind: 'failed',
      since: this.#clock.now(),
      failure: {
        code: 'V6_VPN_NO_DATA',
        message: `The tunnel is up, and nothing came through it for ${Math.round((now - this.#dataAt) / 1000)} s`,
        hints: ['A firewall may cut the flow: check that it lets answers of the VPN server in.'],
        definite: false,
      },
    });
  }

  #onLog(message: string): void {
    this.#onFiltered(message);
    const granted = /Socket Buffers: R=\[\d+->(\d+)\] S=\[\d+->(\d+)\]/.exec(message);
    if (!granted || this.#hasWarned) return;
    const smallest = Math.min(Number(granted[1]), Number(granted[2])) / TOLD_PER_GRANTED;
    if (smallest >= WANTED_BUFFER_BYTES) return;
    this.#hasWarned = true;
    this.#logger.warn(
      'The host grants the tunnel small socket buffers: packets will be lost at speed',
      {
        sizeBytes: smallest,
        hint: `sysctl -w net.core.rmem_max=${WANTED_BUFFER_BYTES} net.core.wmem_max=${WANTED_BUFFER_BYTES}`,
      },
    );
  }

  /** openvpn's words for what `pull-filter` takes out (openvpn 2.6, src/openvpn/options.c, check_pull_filter). */
  #onFiltered(message: string): void {
    const [, option] = /^Pushed option removed by filter: '([^']*)/.exec(message) ?? [];
    if (option === undefined || this.#hasWarnedOfIpv6 || !/ipv6|DNS6/i.test(option)) return;
    this.#hasWarnedOfIpv6 = true;
    this.#logger.warn('The VPN offers IPv6, which is left out: algorithms speak IPv4 only', {
      option,
    });
  }

  #set(state: TunnelState): void {
    this.#state = state;
    if (state.kind === 'connected') this.#lastAddress = state.address;
    if (state.kind === 'connected') this.#settle({ ok: true, address: state.address });
    else if (state.kind === 'failed') this.#settle({ ok: false, failure: state.failure });
    for (const listener of this.#listeners) listener(state);
  }

  #settle(outcome: TunnelOutcome): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter(outcome);
  }
}

function subnetMismatch(address: string, subnet: Cidr): TunnelFailure {
  return {
    code: 'V6_VPN_SUBNET_MISMATCH',
    message: `The VPN gave us the address ${address}, which is outside vpn_subnet ${subnet}`,
    hints: ['Set vpn_subnet in the node configuration to the range of the VPN.'],
    definite: true,
  };
}
