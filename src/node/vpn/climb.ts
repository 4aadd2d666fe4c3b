import type { Clock } from '../../core/clock.ts';
import { ERROR_CATALOGUE, type ErrorCode, toV6Error, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Cidr } from '../../core/net/ipv4.ts';
import type { Verdict } from '../../core/protocol/daemon.ts';
import { type ClientConfig, isExpired, parseClientConfig } from '../../core/vpn/client-config.ts';
import { renderClientConfig } from '../../core/vpn/client-render.ts';
import {
  climb,
  type LadderEvent,
  type LadderStart,
  type LadderState,
  startLadder,
} from '../../core/vpn/ladder.ts';
import type { LadderFailure } from '../../core/vpn/ladder-causes.ts';
import type { Remote } from '../../core/vpn/tunnel.ts';
import type { CoordinatorVpn } from '../interfaces/coordinator.ts';
import type { CredentialStore } from '../interfaces/credential-store.ts';
import type { VpnClient } from '../interfaces/vpn-client.ts';
import { type ResolveHost, resolveRemotes } from './remotes.ts';

export interface ClimbDeps {
  readonly vpnClient: Pick<VpnClient, 'connect'>;
  readonly vpn: Pick<CoordinatorVpn, 'fetchClientConfig' | 'renewClientConfig'>;
  readonly credentials: CredentialStore;
  readonly subnet: Cidr;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly resolve: ResolveHost;
  /** Called before each connection with where it will go: host rules must let it through. */
  readonly onRemotes?: (remotes: readonly Remote[]) => Promise<void>;
  /** For one file with all its remotes, in ms; default: by their number. */
  readonly connectLimitMs?: number;
}

interface Credential {
  readonly text: string;
  readonly config: ClientConfig;
}

/** A climb that ended, and the certificate that it ended with. */
export interface Climbed {
  readonly state: LadderState;
  readonly certificate: ClientConfig['certificate'] | undefined;
}

/** Until a refusal is known (hand-window), and a remote that does not answer (eduVPN's server-poll-timeout), in ms. */
const HANDSHAKE_MS = 12_000;
const REMOTE_MS = 10_000;
/** eduVPN gives four at most. */
const MOST_REMOTES = 4;

export interface ClimbInput {
  readonly start: LadderStart;
  /** What led to this climb. */
  readonly steps?: Verdict['steps'];
  readonly signal: AbortSignal;
}

/** Climbs the ladder once, to its end. Rejects only with the signal's reason; every other failure is an end of the ladder. */
export async function climbOnce(deps: ClimbDeps, input: ClimbInput): Promise<Climbed> {
  const { signal } = input;
  const hand = new Hand(deps, signal);
  let state = startLadder(input.start, input.steps);
  while (state.action !== 'finish') {
    signal.throwIfAborted();
    const { rung, action } = state;
    const event = await hand.act(action);
    signal.throwIfAborted();
    if (event.type === 'failed') {
      deps.logger.info('A rung of the credential ladder failed', {
        code: event.failure.code,
        rung,
        action,
        reason: event.failure.message,
      });
    }
    state = climb(state, event);
  }
  return { state, certificate: hand.credential?.config.certificate };
}

/** What one climb has in its hand: the credential that it read or was given. */
class Hand {
  credential: Credential | undefined;
  private readonly deps: ClimbDeps;
  private readonly signal: AbortSignal;

  constructor(deps: ClimbDeps, signal: AbortSignal) {
    this.deps = deps;
    this.signal = signal;
  }

  async act(action: 'inspect' | 'connect' | 'renew' | 'fetch'): Promise<LadderEvent> {
    const { vpn } = this.deps;
    try {
      switch (action) {
        case 'inspect':
          return await this.inspect();
        case 'connect':
          return await this.connect(this.held());
        case 'renew':
          return await this.store(await vpn.renewClientConfig(this.held().text, this.signal));
        case 'fetch':
          return await this.store(await vpn.fetchClientConfig(this.signal));
      }
    } catch (error) {
      return { type: 'failed', failure: failureOf(error) };
    }
  }

  private async inspect(): Promise<LadderEvent> {
    const text = await this.deps.credentials.find();
    if (text === undefined) return { type: 'absent' };
    this.take(text);
    return { type: 'usable' };
  }

  private async store(answer: string): Promise<LadderEvent> {
    // Upstream's server mixes line ends when it puts a file together.
    const text = answer.replace(/\r\n/g, '\n');
    this.take(text);
    try {
      await this.deps.credentials.save(text);
    } catch (error) {
      // It was given to us and works now: losing it at the next start is the smaller harm.
      const { code, message } = toV6Error(error);
      this.deps.logger.warn('The client config cannot be stored; it is lost at the next start', {
        code,
        reason: message,
      });
    }
    return { type: 'usable' };
  }

  private async connect({ config }: Credential): Promise<LadderEvent> {
    const { subnet, vpnClient, resolve, onRemotes } = this.deps;
    const resolvedRemotes = await resolveRemotes(config.remotes, resolve);
    const rendered = renderClientConfig(config, { resolvedRemotes, subnet });
    await onRemotes?.(resolvedRemotes);
    const outcome = await vpnClient.connect(rendered, {
      subnet,
      limitMs:
        this.deps.connectLimitMs ??
        HANDSHAKE_MS + REMOTE_MS * Math.min(resolvedRemotes.length, MOST_REMOTES),
      signal: this.signal,
    });
    return outcome.ok
      ? { type: 'connected', address: outcome.address }
      : { type: 'failed', failure: outcome.failure };
  }

  private held(): Credential {
    if (this.credential === undefined) throw new Error('the ladder holds no client config');
    return this.credential;
  }

  /** Throws V6_VPN_CONFIG_INVALID, V6_VPN_CERTIFICATE_EXPIRED; holds the file in the second case, because it can be renewed. */
  private take(text: string): void {
    const config = parseClientConfig(text);
    this.credential = { text, config };
    if (!isExpired(config, this.deps.clock.now())) return;
    const at = config.certificate.notAfter.toISOString();
    throw new V6Error('V6_VPN_CERTIFICATE_EXPIRED', `The VPN certificate ended at ${at}`, {
      hints: ['Check the clock of this machine: timedatectl'],
    });
  }
}

/** Any error as a failure of a rung. A code that our server sent along says more than "refused". */
export function failureOf(error: unknown): LadderFailure {
  const { code, message, hints, details } = toV6Error(error);
  const { status, serverCode } = details;
  return {
    code: isCode(serverCode) ? serverCode : code,
    message,
    hints,
    definite: true,
    ...(typeof status === 'number' ? { status } : {}),
  };
}

function isCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_CATALOGUE, value);
}
