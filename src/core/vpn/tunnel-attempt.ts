import type { ErrorCode } from '../errors.ts';
import type { Ipv4 } from '../net/ipv4.ts';
import type { ManagementEvent, OpenVpnLog, OpenVpnState } from './management.ts';
import type { TunnelFailure } from './tunnel.ts';

/**
 * Tells from the events of one openvpn process why its tunnel does not come up (measured on OpenVPN 2.6.14, see
 * docs/architecture): a server never says "revoked" or "expired", so the way that an attempt went has to tell it.
 */
export interface Attempt {
  /** The furthest state since the last (re)connect. */
  readonly reached: 'none' | 'wait' | 'auth' | 'config' | 'connected';
  /** Our own check of the server's certificate failed. */
  readonly serverUntrusted: string | undefined;
  /** The server's word after AUTH_FAILED, without the comma. */
  readonly authFailed: string | undefined;
  /** What the socket said: refused, no route. */
  readonly networkError: string | undefined;
  /** Connections that the server closed after it saw our certificate, one after the other. */
  readonly resets: number;
  /** Seconds between the server's keep-alive packets, as pushed. */
  readonly pingSeconds: number | undefined;
}

export const newAttempt: Attempt = {
  reached: 'none',
  serverUntrusted: undefined,
  authFailed: undefined,
  networkError: undefined,
  resets: 0,
  pingSeconds: undefined,
};

export type AttemptResult =
  | { readonly kind: 'connected'; readonly address: Ipv4; readonly remote: string | undefined }
  | { readonly kind: 'lost'; readonly reason: string }
  | { readonly kind: 'failure'; readonly failure: TunnelFailure };

export interface Step {
  readonly attempt: Attempt;
  readonly result: AttemptResult | undefined;
}

/** The attempt after one more event, and what the event decides. */
export function advance(attempt: Attempt, event: ManagementEvent): Step {
  switch (event.type) {
    case 'open':
      return { attempt: newAttempt, result: undefined };
    case 'log':
      return { attempt: afterLog(attempt, event), result: undefined };
    case 'fatal':
      return { attempt, result: failed('V6_VPN_CLIENT_FAILED', event.message, false) };
    case 'state':
      return afterState(attempt, event);
    default:
      return { attempt, result: undefined };
  }
}

function afterLog(attempt: Attempt, { message }: OpenVpnLog): Attempt {
  if (/^VERIFY (ERROR|.*ERROR):/.test(message) || /certificate verify failed/.test(message))
    return { ...attempt, serverUntrusted: attempt.serverUntrusted ?? message };
  const auth = /AUTH_FAILED,?(.*?)'?$/.exec(message);
  if (auth && /Received control message|^AUTH/.test(message))
    return { ...attempt, authFailed: (auth[1] ?? '').trim() };
  const network = /\[(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EPERM|ETIMEDOUT)\]/.exec(message);
  if (network) return { ...attempt, networkError: network[1] };
  if (/failed: (Connection refused|No route to host|Network is unreachable)/.test(message))
    return { ...attempt, networkError: message.replace(/^.*failed: /, '') };
  const ping = /PUSH_REPLY.*[,']ping (\d+)/.exec(message);
  return ping ? { ...attempt, pingSeconds: Number(ping[1]) } : attempt;
}

const REACHED: Readonly<Record<string, Attempt['reached']>> = {
  CONNECTING: 'none',
  RESOLVE: 'none',
  TCP_CONNECT: 'none',
  WAIT: 'wait',
  AUTH: 'auth',
  AUTH_PENDING: 'config',
  GET_CONFIG: 'config',
  ASSIGN_IP: 'config',
  ADD_ROUTES: 'config',
};

function afterState(attempt: Attempt, state: OpenVpnState): Step {
  if (state.name === 'CONNECTED') {
    if (state.detail !== 'SUCCESS' || state.address === undefined)
      return { attempt, result: undefined };
    const { address, remote } = state;
    return {
      attempt: { ...newAttempt, reached: 'connected', pingSeconds: attempt.pingSeconds },
      result: { kind: 'connected', address, remote },
    };
  }
  if (state.name === 'RECONNECTING' || state.name === 'EXITING') return ended(attempt, state);
  const reached = REACHED[state.name];
  return {
    attempt: reached === undefined ? attempt : { ...attempt, reached },
    result: undefined,
  };
}

function ended(attempt: Attempt, { name, detail }: OpenVpnState): Step {
  if (attempt.reached === 'connected')
    return { attempt: newAttempt, result: { kind: 'lost', reason: detail || name } };
  const resets =
    detail === 'connection-reset' && attempt.reached === 'auth' ? attempt.resets + 1 : 0;
  const result = classify({ ...attempt, resets }, detail);
  return { attempt: { ...newAttempt, resets }, result };
}

/** Why an attempt ended that never connected. Undefined: by our own doing (a signal of ours). */
function classify(attempt: Attempt, detail: string): AttemptResult | undefined {
  if (attempt.authFailed !== undefined || detail === 'auth-failure')
    return afterAuthFailed(attempt.authFailed ?? '');
  if (attempt.serverUntrusted !== undefined)
    return failed(
      'V6_VPN_SERVER_UNTRUSTED',
      `We refuse the VPN server's certificate: ${attempt.serverUntrusted}`,
      true,
    );
  if (/^(SIGTERM|SIGINT|SIGHUP|SIGUSR1|exit-with-notification)$/.test(detail)) return undefined;
  const sawUs = attempt.reached === 'auth';
  if (sawUs && (detail === 'tls-error' || attempt.resets >= 2))
    return failed(
      'V6_VPN_CERTIFICATE_REFUSED',
      'The VPN server refuses our certificate: it answered, and ended the handshake after it had seen it',
      true,
    );
  if (attempt.reached === 'none' || attempt.reached === 'wait') {
    const why = attempt.networkError === undefined ? 'no answer' : attempt.networkError;
    return failed('V6_VPN_SERVER_UNREACHABLE', `The VPN server does not answer (${why})`, false);
  }
  return failed(
    'V6_VPN_SERVER_UNREACHABLE',
    `The VPN server ended the handshake (${detail || 'without a reason'})`,
    false,
  );
}

/** AUTH_FAILED[,reason] (openvpn: doc/management-notes.txt and send_auth_failed in src/openvpn/push.c). */
function afterAuthFailed(reason: string): AttemptResult {
  if (/cipher/i.test(reason))
    return failed(
      'V6_VPN_CIPHER_MISMATCH',
      `The VPN server and we share no cipher: ${reason}`,
      true,
    );
  if (reason.startsWith('TEMP'))
    return failed(
      'V6_VPN_SERVER_UNREACHABLE',
      `The VPN server asks us to come back later: ${reason}`,
      false,
    );
  const word = reason === '' ? 'AUTH_FAILED' : `AUTH_FAILED: ${reason}`;
  return failed(
    'V6_VPN_CERTIFICATE_REFUSED',
    `The VPN server refuses our certificate (${word})`,
    true,
  );
}

const HINTS: Partial<Record<ErrorCode, readonly string[]>> = {
  V6_VPN_CERTIFICATE_REFUSED: [
    'It is revoked, expired, or of another VPN: fetch a new one with `v6 node vpn renew`.',
  ],
  V6_VPN_SERVER_UNTRUSTED: [
    'The file is of another VPN, or the server has a new authority: fetch a new one with `v6 node vpn renew --force`.',
  ],
  V6_VPN_CIPHER_MISMATCH: ['The administrator of the VPN server must allow one of our ciphers.'],
  V6_VPN_SERVER_UNREACHABLE: [
    'Check that this machine reaches the address and port of the VPN server: firewall, proxy, port.',
    'A wrong tls-crypt key looks the same: fetch a new file with `v6 node vpn renew --force`.',
  ],
  V6_VPN_CLIENT_FAILED: ['`docker logs` of the VPN client container tells more.'],
};

function failed(code: ErrorCode, message: string, definite: boolean): AttemptResult {
  return { kind: 'failure', failure: { code, message, hints: HINTS[code] ?? [], definite } };
}
