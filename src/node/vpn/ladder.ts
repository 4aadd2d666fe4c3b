import type { Verdict } from '../../core/protocol/daemon.ts';
import type { ClientConfig } from '../../core/vpn/client-config.ts';
import { type LadderStart, type LadderState, outcomeOf } from '../../core/vpn/ladder.ts';
import { causeOf } from '../../core/vpn/ladder-causes.ts';
import type { TunnelFailure, TunnelState } from '../../core/vpn/tunnel.ts';
import type { CoordinatorVpn } from '../interfaces/coordinator.ts';
import type { VpnClient } from '../interfaces/vpn-client.ts';
import { BackOff } from './back-off.ts';
import { type ClimbDeps, climbOnce } from './climb.ts';
import { resolveWithSystem } from './remotes.ts';
import {
  DISCONNECTED_VERDICT,
  interrupted,
  reconnected,
  TRYING_VERDICT,
  verdictOf,
} from './verdict.ts';

export interface LadderDeps extends Omit<ClimbDeps, 'vpnClient' | 'resolve' | 'vpn'> {
  readonly vpn: Pick<CoordinatorVpn, 'fetchClientConfig' | 'renewClientConfig' | 'releaseLease'>;
  readonly vpnClient: Pick<VpnClient, 'connect' | 'disconnect' | 'tunnel' | 'onTunnelChange'>;
  /** Default: the system's resolver. */
  readonly resolve?: ClimbDeps['resolve'];
}

/** The credential ladder of a running node. */
export interface CredentialLadder {
  /** Climbs, answers with the verdict, and keeps the tunnel in view until the signal aborts. To be called once. Rejects only with the signal's reason. */
  run(signal: AbortSignal): Promise<Verdict>;
  /**
   * Climbs from the renewal rung. Without `force`, nothing happens while the present credential works. When no better
   * credential comes and the present tunnel lives, the verdict stays `connected` and carries the failure as its warning.
   */
  renew(force: boolean): Promise<Verdict>;
  /**
   * Asks for a new client config, whose end lies later, and connects with it. As for `renew`, a tunnel that lives stays when
   * nothing better comes.
   */
  replace(): Promise<Verdict>;
  /** Ends the tunnel and tries nothing more; the stored file stays. */
  disconnect(): Promise<Verdict>;
  /** As disconnect, and the lease is given back and the stored file removed. Throws what the server answers; then the file stays. */
  release(): Promise<Verdict>;
  /** Climbs from the first rung; nothing happens while the tunnel is up. */
  connect(): Promise<Verdict>;
  verdict(): Verdict;
  /** Called on each change of the verdict. */
  onVerdict(listener: (verdict: Verdict) => void): void;
  /** Of the credential in use; undefined before the first climb and without a file. */
  certificate(): ClientConfig['certificate'] | undefined;
  /** The last failure, also when all is well again. */
  lastError(): LadderError | undefined;
}

export interface LadderError extends Pick<TunnelFailure, 'code' | 'message'> {
  readonly at: Date;
}

export function createLadder(deps: LadderDeps): CredentialLadder {
  return new LadderKeeper(deps);
}

const STABLE_MS = 3_600_000;

/** One climb at a time; between climbs it listens to the tunnel and waits for the next attempt. */
class LadderKeeper implements CredentialLadder {
  private readonly deps: ClimbDeps & Pick<LadderDeps, 'vpnClient' | 'vpn'>;
  private readonly listeners: ((verdict: Verdict) => void)[] = [];
  private readonly soon = new BackOff({ firstMs: 3_000, longestMs: 60_000 });
  private readonly late = new BackOff({ firstMs: 120_000, longestMs: 3_600_000 });
  /** A credential that is refused again and again, for example because two machines use one, must not cost one each time. */
  private readonly refused = new BackOff({ firstMs: 30_000, longestMs: 3_600_000 });
  private refusedAt = Number.NEGATIVE_INFINITY;
  private current: Verdict = TRYING_VERDICT;
  /** The rung whose file openvpn has. */
  private held: 'existing' | 'renew' | 'new' = 'existing';
  private inUse: ClientConfig['certificate'] | undefined;
  private failed: LadderError | undefined;
  /** Somebody wants no tunnel now. */
  private isHeld = false;
  private signal: AbortSignal = AbortSignal.abort();
  private climbing = 0;
  private queue: Promise<unknown> = Promise.resolve();
  private pending: AbortController | undefined;

  constructor({ resolve = resolveWithSystem, ...deps }: LadderDeps) {
    this.deps = { ...deps, resolve };
  }

  run(signal: AbortSignal): Promise<Verdict> {
    this.signal = signal;
    this.deps.vpnClient.onTunnelChange((state) => this.onTunnel(state));
    return this.climb('existing');
  }

  async renew(force: boolean): Promise<Verdict> {
    const isGood =
      this.current.state === 'connected' &&
      this.inUse !== undefined &&
      this.inUse.notAfter > this.deps.clock.now();
    if (isGood && !force) return this.current;
    return this.climb('renew');
  }

  replace(): Promise<Verdict> {
    return this.climb('new');
  }

  disconnect(): Promise<Verdict> {
    return this.hold(async () => {
      // Somebody else asked for a tunnel meanwhile.
      if (this.isHeld) await this.endTunnel();
    });
  }

  release(): Promise<Verdict> {
    // In turn with climbs: one that is asked for meanwhile must not find a file whose lease is about to end.
    return this.hold(async () => {
      await this.endTunnel();
      await this.deps.vpn.releaseLease(this.signal);
      await this.deps.credentials.remove();
      this.inUse = undefined;
    });
  }

  async connect(): Promise<Verdict> {
    if (this.current.state === 'connected' && !this.isHeld) return this.current;
    return this.climb('existing');
  }

  verdict(): Verdict {
    return this.current;
  }

  onVerdict(listener: (verdict: Verdict) => void): void {
    this.listeners.push(listener);
  }

  certificate(): ClientConfig['certificate'] | undefined {
    return this.inUse;
  }

  lastError(): LadderError | undefined {
    return this.failed;
  }

  private climb(start: LadderStart, steps: Verdict['steps'] = []): Promise<Verdict> {
    this.cancelAttempt();
    this.isHeld = false;
    this.climbing += 1;
    const climbed = this.queue
      .then(() => {
        this.cancelAttempt();
        return climbOnce(this.deps, { start, steps, signal: this.signal });
      })
      .then(({ state, certificate }) => {
        this.inUse = certificate ?? this.inUse;
        this.settle(state);
        return this.current;
      })
      .finally(() => {
        this.climbing -= 1;
      });
    this.queue = climbed.catch(() => undefined);
    return climbed;
  }

  private settle(state: LadderState): void {
    const { end } = state;
    const verdict = verdictOf(state);
    if (end?.state === 'connected') {
      if (state.rung !== 'without') this.held = state.rung;
      this.soon.reset();
      this.late.reset();
      this.set(verdict);
      return;
    }
    const tunnel = this.deps.vpnClient.tunnel();
    if (tunnel.kind === 'connected') {
      // A renewal that was asked for brought nothing; what was there still works.
      this.set({ ...verdict, state: 'connected', rung: this.held, vpnAddress: tunnel.address });
      return;
    }
    this.set(verdict);
    if (end !== undefined) {
      const { pace, from } = end.retry;
      this.attempt(from, pace === 'soon' ? this.soon.next() : this.late.next());
    }
  }

  private onTunnel(state: TunnelState): void {
    // A climb hears from its own connection.
    if (this.climbing > 0 || this.isHeld || this.signal.aborted) return;
    switch (state.kind) {
      case 'off':
        return;
      case 'connected':
        this.cancelAttempt();
        this.set(reconnected(this.current, this.held, state.address));
        return;
      case 'connecting':
        if (this.current.state !== 'without')
          this.set(interrupted(this.current, state.lastFailure));
        return;
      case 'failed':
        this.onTunnelFailure(state.failure);
    }
  }

  /** The tunnel failed by itself, between climbs: openvpn keeps at it only where nobody answered. */
  private onTunnelFailure(failure: TunnelFailure): void {
    const cause = causeOf(failure);
    if (cause === 'unreachable') {
      if (this.current.state !== 'without') this.set(interrupted(this.current, failure));
      if (this.pending === undefined) this.attempt('existing', this.soon.next());
      return;
    }
    this.set(interrupted(this.current, failure));
    if (cause === 'configuration') this.attempt('existing', this.late.next());
    else
      this.attempt('renew', this.pauseAfterRefusal(), [
        { rung: this.held, outcome: outcomeOf(failure) },
      ]);
  }

  /** None the first time, and after an hour that went well. */
  private pauseAfterRefusal(): number {
    const now = this.deps.clock.now().getTime();
    if (now - this.refusedAt > STABLE_MS) {
      this.refused.reset();
      this.refusedAt = now;
      return 0;
    }
    this.refusedAt = now;
    return this.refused.next();
  }

  /** Climbs after a pause, unless something else does before. */
  private attempt(from: LadderStart, pauseMs: number, steps: Verdict['steps'] = []): void {
    this.cancelAttempt();
    const pending = new AbortController();
    this.pending = pending;
    const signal = AbortSignal.any([this.signal, pending.signal]);
    void this.deps.clock
      .sleep(pauseMs, signal)
      .then(() => (signal.aborted ? undefined : this.climb(from, steps)))
      .catch(() => undefined);
  }

  /** From now on no tunnel is wanted, until somebody asks for one; the work is done in its turn. */
  private hold(work: () => Promise<void>): Promise<Verdict> {
    this.isHeld = true;
    this.cancelAttempt();
    const done = this.queue.then(async () => {
      await work();
      return this.current;
    });
    this.queue = done.catch(() => undefined);
    return done;
  }

  private async endTunnel(): Promise<void> {
    // A climb that was under way may have planned its next attempt.
    this.cancelAttempt();
    await this.deps.vpnClient.disconnect();
    this.set(DISCONNECTED_VERDICT);
  }

  private cancelAttempt(): void {
    this.pending?.abort();
    this.pending = undefined;
  }

  private set(verdict: Verdict): void {
    const before = this.current;
    this.current = verdict;
    this.tell(before, verdict);
    for (const listener of this.listeners) listener(verdict);
  }

  /** Warns once for each cause, however often it comes back. */
  private tell(before: Verdict, { state, rung, warning, vpnAddress, portalCalls }: Verdict): void {
    const { logger, clock } = this.deps;
    if (warning !== null) {
      this.failed = { code: warning.code, message: warning.message, at: clock.now() };
      const fields = { code: warning.code, reason: warning.message, hints: warning.hints };
      if (before.warning?.code === warning.code) {
        logger.debug('The VPN is still not connected', fields);
      } else {
        logger.warn('The VPN has a problem', fields);
      }
    } else if (state !== before.state) {
      logger.info(state === 'connected' ? 'The tunnel is up' : 'The tunnel is down', {
        rung,
        portalCalls,
        ...(vpnAddress === null ? {} : { tunnelAddress: vpnAddress }),
      });
    }
  }
}
