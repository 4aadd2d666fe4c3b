import { V6Error } from '../../core/errors.ts';
import type { Verdict } from '../../core/protocol/daemon.ts';
import type { DaemonClient } from '../interfaces/daemon-client.ts';

/**
 * Has a running node climb its ladder from the renewal rung. Throws V6_VPN_OFF when its VPN is off, V6_NODE_NOT_RUNNING, and
 * the cause when no credential came (a tunnel that was up stays up).
 */
export async function renewCredential(
  daemon: Pick<DaemonClient, 'renew'>,
  { force }: { readonly force: boolean },
): Promise<Verdict> {
  return withoutWarning(await daemon.renew(force));
}

/** Has a running node climb its ladder from the first rung. Throws as renewCredential does. */
export async function connectVpn(daemon: Pick<DaemonClient, 'connect'>): Promise<Verdict> {
  return withoutWarning(await daemon.connect());
}

/** Ends the tunnel of a running node; no tunnel is fine. Throws V6_VPN_OFF, V6_NODE_NOT_RUNNING. */
export async function disconnectVpn(daemon: Pick<DaemonClient, 'disconnect'>): Promise<Verdict> {
  return unlessOff(await daemon.disconnect());
}

/**
 * Ends the tunnel of a running node and gives its lease back; false where its VPN is off. Throws V6_NODE_NOT_RUNNING, and what
 * the server answers: a Python server has no such request (V6_REQUEST_NOT_FOUND).
 */
export async function releaseLease(daemon: Pick<DaemonClient, 'release'>): Promise<boolean> {
  return (await daemon.release()).state !== 'off';
}

function withoutWarning(verdict: Verdict): Verdict {
  const { warning, state, vpnAddress, steps } = unlessOff(verdict);
  if (warning === null) return verdict;
  const { code, message, hints } = warning;
  throw new V6Error(code, message, { hints, details: { state, vpnAddress, steps } });
}

function unlessOff(verdict: Verdict): Verdict {
  if (verdict.state !== 'off') return verdict;
  throw new V6Error('V6_VPN_OFF', 'The VPN of this node is off: vpn_subnet is empty', {
    hints: ['Set vpn_subnet in the node configuration, then: v6 node stop; v6 node start'],
  });
}
