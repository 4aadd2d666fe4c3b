import type { Clock } from '../core/clock.ts';
import { V6Error } from '../core/errors.ts';
import type { Verdict } from '../core/protocol/daemon.ts';
import type { DaemonDeps } from './daemon-deps.ts';
import type { VpnClient } from './interfaces/vpn-client.ts';
import type { Teardown } from './teardown.ts';
import { TunnelGate } from './tunnel-gate.ts';
import type { CredentialLadder } from './vpn/ladder.ts';
import { OFF_VERDICT, TRYING_VERDICT } from './vpn/verdict.ts';

const CLEAR_ADDRESS_MS = 3000;

/** `vpn_subnet` is set, and the host cannot make a tunnel. */
const TUN_MISSING_VERDICT: Verdict = {
  state: 'without',
  rung: 'without',
  vpnAddress: null,
  portalCalls: 0,
  warning: {
    code: 'V6_NET_TUN_MISSING',
    message: 'This host has no tun device (/dev/net/tun): the node runs without VPN',
    hints: ['Load the driver: modprobe tun', 'Then restart the node: v6 node stop; v6 node start'],
  },
  steps: [],
};

/** What is known of the VPN while the node starts, and for good when there is no ladder. */
export class StartVerdict {
  #current: Verdict = TRYING_VERDICT;
  /** Fires with the first verdict. */
  readonly #judged = new AbortController();

  get current(): Verdict {
    return this.#current;
  }

  note(verdict: Verdict): void {
    this.#current = verdict;
  }

  /** The first climb is over: nobody need wait any longer. */
  settle(): void {
    this.#judged.abort(new Error('the verdict is there'));
  }

  /** Resolves with the end of the first climb, or after `waitMs`. */
  async settled(clock: Clock, waitMs: number): Promise<void> {
    await clock.sleep(waitMs, this.#judged.signal).catch(() => undefined);
  }
}

export interface VpnStart {
  readonly deps: Pick<DaemonDeps, 'coordinator' | 'config' | 'clock' | 'logger'>;
  readonly teardown: Teardown;
  /** Told how the first climb goes and ends. */
  readonly verdict: StartVerdict;
}

/** The ladder climbs beside everything else; the gate keeps the server's view of the tunnel. */
export function startVpn(
  { deps, teardown, verdict }: VpnStart,
  vpn: VpnClient,
  ladder: CredentialLadder | undefined,
): TunnelGate {
  const climbing = new AbortController();
  const gate = new TunnelGate(
    { ...deps, vpn: deps.coordinator.vpn },
    { enabled: ladder !== undefined, signal: climbing.signal },
  );
  teardown.add('tunnel', async () => {
    climbing.abort(new V6Error('V6_INTERRUPTED', 'The node is stopping'));
    await gate.clear(CLEAR_ADDRESS_MS);
  });
  vpn.onTunnelChange((state) => gate.follow(state));
  gate.follow(vpn.tunnel());
  if (ladder === undefined) {
    const { vpnSubnet } = deps.config;
    verdict.note(vpnSubnet === undefined ? OFF_VERDICT : TUN_MISSING_VERDICT);
    const { warning } = verdict.current;
    if (warning !== null) deps.logger.warn('The node runs without VPN', warning);
    verdict.settle();
    return gate;
  }
  ladder.onVerdict((next) => verdict.note(next));
  void climb({ deps, verdict }, ladder, climbing.signal).finally(() => {
    verdict.settle();
    gate.openForRuns();
  });
  return gate;
}

async function climb(
  { deps, verdict }: Pick<VpnStart, 'deps' | 'verdict'>,
  ladder: CredentialLadder,
  signal: AbortSignal,
): Promise<void> {
  try {
    verdict.note(await ladder.run(signal));
  } catch (error) {
    if (!signal.aborted) deps.logger.error('The credential ladder failed', { error });
  }
}
