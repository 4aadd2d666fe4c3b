import { V6Error } from '../../src/core/errors.ts';
import type { Ipv4 } from '../../src/core/net/ipv4.ts';
import type { TunnelFailure, TunnelOutcome, TunnelState } from '../../src/core/vpn/tunnel.ts';
import type { CoordinatorVpn } from '../../src/node/interfaces/coordinator.ts';
import type { CredentialStore } from '../../src/node/interfaces/credential-store.ts';
import type { VpnClient } from '../../src/node/interfaces/vpn-client.ts';

/** A client config in memory. */
export class FakeCredentialStore implements CredentialStore {
  text: string | undefined;
  failSaves = false;

  constructor(text?: string) {
    this.text = text;
  }

  async find(): Promise<string | undefined> {
    return this.text;
  }

  async save(clientConfig: string): Promise<void> {
    if (this.failSaves) throw new V6Error('V6_CONFIG_WRITE', 'the disk is full');
    this.text = clientConfig;
  }

  async remove(): Promise<void> {
    this.text = undefined;
  }
}

type Tunnel = Pick<VpnClient, 'connect' | 'disconnect' | 'tunnel' | 'onTunnelChange'>;

/** The part of a VPN client that carries the tunnel: answers with what the test lined up, then with the last of it. */
export class FakeTunnel implements Tunnel {
  readonly tried: string[] = [];
  answers: (TunnelOutcome | Error)[];
  #state: TunnelState = { kind: 'off' };
  readonly #listeners: ((state: TunnelState) => void)[] = [];

  constructor(...answers: (TunnelOutcome | Error)[]) {
    this.answers = answers;
  }

  async connect(clientConfig: string): Promise<TunnelOutcome> {
    this.tried.push(clientConfig);
    const answer = (this.answers.length > 1 ? this.answers.shift() : this.answers[0]) ?? up();
    if (answer instanceof Error) throw answer;
    this.#state = answer.ok
      ? { kind: 'connected', since: new Date(0), address: answer.address }
      : { kind: 'connecting', since: new Date(0), lastFailure: answer.failure };
    return answer;
  }

  async disconnect(): Promise<void> {
    this.become({ kind: 'off' });
  }

  tunnel(): TunnelState {
    return this.#state;
  }

  onTunnelChange(listener: (state: TunnelState) => void): void {
    this.#listeners.push(listener);
  }

  /** What happens to the tunnel by itself. */
  become(state: TunnelState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }
}

/** The server's VPN routes: counts, and answers with the given file or error. */
export class FakeCoordinatorVpn implements CoordinatorVpn {
  readonly calls: ('renew' | 'fetch' | 'release')[] = [];
  onRelease: () => void = () => undefined;
  address: string | null = null;
  onRenew: () => string;
  onFetch: () => string;

  constructor(onRenew: () => string, onFetch: () => string = onRenew) {
    this.onRenew = onRenew;
    this.onFetch = onFetch;
  }

  async setAddress(address: string | null): Promise<void> {
    this.address = address;
  }

  async releaseLease(): Promise<void> {
    this.calls.push('release');
    this.onRelease();
  }

  async fetchClientConfig(): Promise<string> {
    this.calls.push('fetch');
    return this.onFetch();
  }

  async renewClientConfig(): Promise<string> {
    this.calls.push('renew');
    return this.onRenew();
  }
}

export function up(address = '10.76.0.5'): TunnelOutcome {
  return { ok: true, address: address as Ipv4 };
}

export function down(code: TunnelFailure['code'], definite = true): TunnelOutcome {
  return { ok: false, failure: failure(code, definite) };
}

export function failure(code: TunnelFailure['code'], definite = true): TunnelFailure {
  return { code, message: `said ${code}`, hints: ['do this'], definite };
}
