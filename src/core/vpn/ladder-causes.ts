import type { ErrorCode } from '../errors.ts';

/** Why a rung failed. */
export interface LadderFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hints: readonly string[];
  /** False: a limit ran out without an answer. Then nothing is known about the credential. */
  readonly definite: boolean;
  /** HTTP status of the coordination server's answer, where one came. */
  readonly status?: number;
}

/**
 * What a failure says about the credential.
 * `unreachable`: nothing, because nobody answered. `configuration`: nothing, and no other credential would do better.
 * `credential`: it is refused or has ended. `unusable`: the file cannot be used as it is. `ciphers`: it offers what the
 * VPN server does not take.
 */
export type Cause = 'unreachable' | 'configuration' | 'credential' | 'unusable' | 'ciphers';

const CAUSES: Partial<Record<ErrorCode, Cause>> = {
  V6_VPN_CERTIFICATE_REFUSED: 'credential',
  V6_VPN_CERTIFICATE_EXPIRED: 'credential',
  V6_VPN_SERVER_UNTRUSTED: 'credential',
  V6_VPN_NO_DATA: 'credential',
  V6_VPN_CONFIG_INVALID: 'unusable',
  V6_VPN_CIPHER_MISMATCH: 'ciphers',
  // Answers to a request for a renewal: this lease cannot be renewed, a new one may be had.
  V6_VPN_CONFIG_REFUSED: 'credential',
  V6_PORTAL_TOKEN: 'credential',
  V6_REQUEST_NOT_FOUND: 'credential',
  V6_REQUEST_INVALID: 'credential',
  V6_REQUEST_CONFLICT: 'credential',

  V6_VPN_SERVER_UNREACHABLE: 'unreachable',
  V6_VPN_CLIENT_FAILED: 'unreachable',
  V6_PORTAL_UNREACHABLE: 'unreachable',
  V6_PORTAL_NOT_RUNNING: 'unreachable',
  V6_PORTAL_TLS: 'unreachable',
  V6_SERVER_UNREACHABLE: 'unreachable',
  V6_REQUEST_RATE: 'unreachable',
  V6_DATABASE: 'unreachable',
  V6_ENGINE_MISSING: 'unreachable',
  V6_ENGINE_TIMEOUT: 'unreachable',
  V6_INTERRUPTED: 'unreachable',
};

/** Statuses of a proxy or a server that is away; 503 is also upstream's "VPN server unreachable" (vantage6 4.14 resource/vpn.py). */
const AWAY = new Set([429, 502, 503, 504]);
/** 501: no VPN at that server. 401 and 403: we may not ask. */
const NEVER = new Set([401, 403, 501]);

/** Everything not listed is a fault that a new credential would not mend. */
export function causeOf(failure: LadderFailure): Cause {
  if (!failure.definite) return 'unreachable';
  if (failure.code === 'V6_SERVER_REFUSED') return causeOfStatus(failure.status);
  // A proxy in front of the server answers with a page of its own.
  if (failure.code === 'V6_SERVER_ANSWER' && (failure.status ?? 0) >= 500) return 'unreachable';
  return CAUSES[failure.code] ?? 'configuration';
}

/** A refusal without a code of ours: an upstream server. From 4.6 on its `/vpn/update` answers 500 whatever is asked. */
function causeOfStatus(status: number | undefined): Cause {
  if (status === undefined || NEVER.has(status)) return 'configuration';
  return AWAY.has(status) ? 'unreachable' : 'credential';
}
