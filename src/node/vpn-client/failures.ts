import { V6Error } from '../../core/errors.ts';
import type { Cidr } from '../../core/net/ipv4.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { TunnelFailure } from '../../core/vpn/tunnel.ts';
import { isLostStream } from './command-stream.ts';

/** Why there can be no tunnel: the VPN is off, or the host has no tun device. */
export function tunMissing(subnet: Cidr | undefined): TunnelFailure {
  return subnet === undefined
    ? {
        code: 'V6_VPN_OFF',
        message: 'The VPN of this node is off',
        hints: ['Set vpn_subnet.'],
        definite: true,
      }
    : {
        code: 'V6_NET_TUN_MISSING',
        message: 'This host has no tun device (/dev/net/tun)',
        hints: ['Load the module: modprobe tun', 'Then start the node again.'],
        definite: true,
      };
}

/** The container has no interface on the slot: nothing can be claimed there. */
export function slotLost({ network }: Slot): V6Error {
  return new V6Error('V6_VPN_CLIENT_FAILED', `The VPN client has no way into ${network}`, {
    hints: ['It is connected again by itself; `v6 node status` shows what cannot be repaired.'],
    details: { network },
  });
}

/** Nothing definite within the limit. */
export function unanswered(limitMs: number): TunnelFailure {
  return {
    code: 'V6_VPN_SERVER_UNREACHABLE',
    message: `The VPN server did not answer within ${Math.round(limitMs / 1000)} s`,
    hints: ['Check that this machine reaches the address and port of the VPN server.'],
    definite: false,
  };
}

/** A refusal of nft as V6_FIREWALL_APPLY, with its own words in the details; a lost stream stays what it is. */
export function applyFailure(what: string, error: unknown): unknown {
  if (isLostStream(error) || !(error instanceof V6Error)) return error;
  if (error.code === 'V6_FIREWALL_APPLY') return error;
  return new V6Error('V6_FIREWALL_APPLY', `The VPN client refused ${what}`, {
    details: error.details,
    cause: error,
  });
}
