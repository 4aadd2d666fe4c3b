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
  const verdict = await daemon.renew(force);
  if (verdict.state === 'off') {
    throw new V6Error('V6_VPN_OFF', 'The VPN of this node is off: vpn_subnet is empty', {
      hints: ['Set vpn_subnet in the node configuration, then: v6 node stop; v6 node start'],
    });
  }
  if (verdict.warning === null) return verdict;
  const { code, message, hints } = verdict.warning;
  throw new V6Error(code, message, {
    hints,
    details: { state: verdict.state, vpnAddress: verdict.vpnAddress, steps: verdict.steps },
  });
}
