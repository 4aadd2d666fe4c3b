import type { Clock } from '../core/clock.ts';
import { isV6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { TunnelState } from '../core/vpn/tunnel.ts';
import type { CoordinatorVpn } from './interfaces/coordinator.ts';
import { hasServerFailed, untilAnswered } from './server-patience.ts';

export interface TunnelGateDeps {
  readonly vpn: Pick<CoordinatorVpn, 'setAddress'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long a run waits at most for the first verdict of the ladder. */
const FIRST_VERDICT_MS = 60_000;
/** A tunnel that is made anew, with a fresh credential or after a lost packet or two, is back sooner: nobody need hear of it. */
const GAP_MS = 5000;
/** A server that fails at an address is told it again after this, ms; runs do not wait for that. */
const AFTER_FAILURE_MS = 15_000;

/**
 * Keeps the node's tunnel address at the server the same as the tunnel's, and tells runs when theirs can be registered. Only
 * the newest address is ever sent.
 */
export class TunnelGate {
  /** False when `vpn_subnet` is off: no ports are leased, nothing is registered. */
  readonly enabled: boolean;
  readonly #deps: TunnelGateDeps;
  readonly #life: AbortSignal;
  readonly #waiters = new Set<() => void>();
  readonly #upListeners: (() => void)[] = [];
  #wanted: string | null = null;
  /** Undefined: not known what the server has. */
  #settled: string | null | undefined;
  #wasRefused = false;
  #isPushing = false;
  #isLater = false;
  #hasVerdict = false;
  #gap: AbortController | undefined;

  constructor(deps: TunnelGateDeps, options: { enabled: boolean; signal: AbortSignal }) {
    this.#deps = deps;
    this.enabled = options.enabled;
    this.#life = options.signal;
  }

  /** The tunnel as it is now. Call it with each change, and once at the start. */
  follow(tunnel: TunnelState): void {
    if (tunnel.kind === 'connecting' && this.#wanted !== null) {
      this.#endAfterGap();
      return;
    }
    this.#gap?.abort(new Error('the tunnel changed'));
    this.#gap = undefined;
    this.#wanted = tunnel.kind === 'connected' ? tunnel.address : null;
    this.#push();
  }

  #endAfterGap(): void {
    if (this.#gap !== undefined) return;
    const gap = new AbortController();
    this.#gap = gap;
    void this.#deps.clock.sleep(GAP_MS, AbortSignal.any([this.#life, gap.signal])).then(
      () => {
        this.#gap = undefined;
        this.#wanted = null;
        this.#push();
      },
      () => undefined,
    );
  }

  /** The ladder has its first verdict: runs need not wait for it any longer. */
  openForRuns(): void {
    this.#hasVerdict = true;
    this.#wake();
  }

  /** Called each time that the server has acknowledged an address. */
  onUp(listener: () => void): void {
    this.#upListeners.push(listener);
  }

  /** Resolves with the first verdict of the ladder, or after 60 s. */
  async ready(signal: AbortSignal): Promise<void> {
    if (!this.enabled || this.#hasVerdict) return;
    const limit = new AbortController();
    const { clock } = this.#deps;
    const both = AbortSignal.any([signal, limit.signal]);
    const late = clock.sleep(FIRST_VERDICT_MS, both).then(
      () => this.openForRuns(),
      () => undefined,
    );
    try {
      await this.#until(() => this.#hasVerdict, signal);
    } finally {
      limit.abort(new Error('the verdict is there'));
      await late;
    }
  }

  /**
   * The tunnel address once the server has acknowledged it; undefined while the tunnel is down or the server refuses it. A tunnel
   * that is being made anew is waited for.
   */
  async acknowledged(signal: AbortSignal): Promise<string | undefined> {
    const isKnown = (): boolean => this.#wanted === null || this.#settled === this.#wanted;
    await this.#until(() => this.#gap === undefined && isKnown(), signal);
    return this.#wasRefused ? undefined : (this.#wanted ?? undefined);
  }

  /** Takes the address from the server for good, as far as it answers within `limitMs`; true when it did. */
  async clear(limitMs: number): Promise<boolean> {
    this.#wanted = null;
    if (this.#settled === null) return true;
    try {
      await this.#deps.vpn.setAddress(null, AbortSignal.timeout(limitMs));
      this.#settled = null;
      return true;
    } catch (error) {
      this.#deps.logger.warn('The tunnel address could not be taken from the server', { error });
      return false;
    }
  }

  #push(): void {
    this.#wake();
    if (this.#isPushing) return;
    this.#isPushing = true;
    void this.#pushUntilSettled().finally(() => {
      this.#isPushing = false;
      if (!this.#life.aborted && this.#settled !== this.#wanted) this.#push();
    });
  }

  async #pushUntilSettled(): Promise<void> {
    const { logger, vpn } = this.#deps;
    let sent: string | null = this.#wanted;
    try {
      await untilAnswered(this.#deps, 'tunnel address', this.#life, () => {
        sent = this.#wanted;
        if (sent !== this.#settled) this.#settled = undefined;
        return vpn.setAddress(sent, this.#life);
      });
      this.#wasRefused = false;
    } catch (error) {
      if (this.#life.aborted) return;
      this.#wasRefused = true;
      logger.error('The server refused the tunnel address of this node', {
        tunnelAddress: sent,
        code: isV6Error(error) ? error.code : 'V6_BUG',
        error,
      });
      // What is not JSON comes from a web server before it, e.g. while it is being replaced.
      if (hasServerFailed(error) || isV6Error(error, 'V6_SERVER_ANSWER')) this.#pushLater();
    }
    this.#settled = sent;
    this.#wake();
    if (sent === null || this.#wasRefused || sent !== this.#wanted) return;
    logger.info('The server knows the tunnel address of this node', { tunnelAddress: sent });
    for (const listener of this.#upListeners) listener();
  }

  #pushLater(): void {
    if (this.#isLater) return;
    this.#isLater = true;
    void this.#deps.clock.sleep(AFTER_FAILURE_MS, this.#life).then(
      () => {
        this.#isLater = false;
        if (this.#wasRefused) this.#push();
      },
      () => undefined,
    );
  }

  #until(isDone: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#waiters.delete(check);
        signal.removeEventListener('abort', onAbort);
      };
      const check = (): void => {
        if (!isDone()) return;
        settle();
        resolve();
      };
      const onAbort = (): void => {
        settle();
        reject(signal.reason as Error);
      };
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      this.#waiters.add(check);
      signal.addEventListener('abort', onAbort, { once: true });
      check();
    });
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter();
  }
}
