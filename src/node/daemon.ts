import { V6Error } from '../core/errors.ts';
import type { DaemonNetwork, DaemonStatus, DaemonVpn, Verdict } from '../core/protocol/daemon.ts';
import type { DaemonDeps } from './daemon-deps.ts';
import { describeNetwork, describeVpn, statusReport } from './daemon-reports.ts';
import {
  createParts,
  type DaemonParts,
  layGround,
  type StartInput,
  setToWork,
} from './daemon-start.ts';
import { StartVerdict } from './daemon-vpn.ts';
import { EnginePresence } from './engine-presence.ts';
import type { DaemonControl } from './interfaces/daemon-control.ts';
import { Teardown } from './teardown.ts';

export type { DaemonDeps } from './daemon-deps.ts';

export interface DaemonOptions {
  /** How long an absent server is waited for at the start; default 20 s. */
  readonly loginLimitMs?: number;
}

const LOGIN_LIMIT_MS = 20_000;

/** The node: from login to the last rule undone. `start` and `stop` are called by `v6 node run`, the rest by its control socket. */
export class NodeDaemon implements DaemonControl {
  readonly #deps: DaemonDeps;
  readonly #options: DaemonOptions;
  readonly #life = new AbortController();
  readonly #teardown: Teardown;
  readonly #presence: EnginePresence;
  readonly #startedAt: Date;
  readonly #verdict = new StartVerdict();
  /** There once the node has started. */
  #parts: DaemonParts | undefined;

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
    return statusReport({
      deps: this.#deps,
      parts: this.#started(),
      verdict: this.#currentVerdict(),
      engine: this.#presence.status(),
      startedAt: this.#startedAt,
    });
  }

  async verdict(waitMs: number): Promise<Verdict> {
    await this.#verdict.settled(this.#deps.clock, waitMs);
    return this.#currentVerdict();
  }

  async renew(force: boolean): Promise<Verdict> {
    const { ladder } = this.#started();
    return ladder === undefined ? this.#currentVerdict() : ladder.renew(force);
  }

  async vpn(): Promise<DaemonVpn> {
    return describeVpn(this.#started(), this.#currentVerdict());
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
    return describeNetwork(this.#started(), this.#deps.firewall);
  }

  async #startAll(signal: AbortSignal): Promise<void> {
    const deps = this.#deps;
    // First of all: it finds out whether this node runs already.
    const control = await deps.serveControl(this);
    this.#teardown.add('control socket', () => control.close());
    await this.#presence.learn();
    const input = this.#startInput();
    const ground = await layGround(input, {
      loginLimitMs: this.#options.loginLimitMs ?? LOGIN_LIMIT_MS,
      signal,
      onDamage: (what) => this.#parts?.keeper.request(what),
    });
    const parts = createParts(input, ground);
    this.#parts = parts;
    setToWork(input, parts, ground.recovery);
    deps.logger.info('The node has started', {
      node: ground.identity.id,
      slots: ground.prepared.length,
    });
  }

  #startInput(): StartInput {
    const { scope, name } = this.#deps.context;
    return {
      deps: this.#deps,
      owner: { scope, node: name },
      teardown: this.#teardown,
      presence: this.#presence,
      verdict: this.#verdict,
      life: this.#life.signal,
    };
  }

  #currentVerdict(): Verdict {
    return this.#parts?.ladder?.verdict() ?? this.#verdict.current;
  }

  #started(): DaemonParts {
    if (this.#parts !== undefined) return this.#parts;
    throw new V6Error('V6_NODE_NOT_READY', 'The node has not started yet', {
      hints: ['Ask again in a moment.'],
    });
  }
}

function socketReplaced(): V6Error {
  return new V6Error(
    'V6_ENGINE_MISSING',
    'The container engine has another socket since its restart: the daemon of this node ends, and the engine starts it again',
    { hints: ['The runs go on. If the daemon does not come back: v6 node start'] },
  );
}
