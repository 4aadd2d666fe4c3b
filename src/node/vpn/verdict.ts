import type { Rung, Verdict } from '../../core/protocol/daemon.ts';
import type { LadderEnd, LadderState } from '../../core/vpn/ladder.ts';
import type { TunnelFailure } from '../../core/vpn/tunnel.ts';

const NOTHING = { rung: null, vpnAddress: null, portalCalls: 0, warning: null, steps: [] } as const;

/** `vpn_subnet` is empty. */
export const OFF_VERDICT: Verdict = { state: 'off', ...NOTHING };

/** Before the first answer. */
export const TRYING_VERDICT: Verdict = { state: 'trying', ...NOTHING };

/** Somebody asked for it. */
export const DISCONNECTED_VERDICT: Verdict = { state: 'disconnected', ...NOTHING };

/** How a ladder ended. */
export function verdictOf(state: LadderState): Verdict {
  const { rung, portalCalls, steps, end } = state;
  if (end === undefined) return { ...TRYING_VERDICT, rung, portalCalls, steps };
  return {
    state: end.state,
    rung,
    vpnAddress: end.state === 'connected' ? end.address : null,
    portalCalls,
    warning: end.state === 'connected' ? null : warningOf(end),
    steps,
  };
}

function warningOf({
  failure,
  retry,
}: Extract<LadderEnd, { state: 'without' }>): Verdict['warning'] {
  const again =
    retry.pace === 'soon'
      ? 'The node goes on without VPN and tries again by itself; where it stands: v6 node status'
      : 'The node goes on without VPN. When the cause is mended: v6 node vpn renew --force';
  return { code: failure.code, message: failure.message, hints: [...failure.hints, again] };
}

/** The tunnel is up again, or for the first time after the ladder had given up waiting. */
export function reconnected(verdict: Verdict, rung: Rung, address: string): Verdict {
  return { ...verdict, state: 'connected', rung, vpnAddress: address, warning: null };
}

/** The tunnel was up and is down; the VPN client is at it. */
export function interrupted(verdict: Verdict, failure: TunnelFailure | undefined): Verdict {
  return {
    ...verdict,
    state: 'trying',
    vpnAddress: null,
    warning:
      failure === undefined
        ? null
        : { code: failure.code, message: failure.message, hints: failure.hints },
  };
}
