/**
 * The catalogue of everything that can go wrong and that a caller or user can meet.
 *
 * A row never changes its meaning: scripts branch on `code` and on the exit status. Exit statuses follow
 * sysexits(3) where it has one (69 unavailable, 75 temporary failure, 77 no permission, 78 configuration).
 */
export interface ErrorEntry {
  /** Process exit status, 1–130. */
  readonly exitCode: number;
  /** HTTP status when a server of ours meets it, 400–599. */
  readonly httpStatus: number;
}

const usage = { exitCode: 2, httpStatus: 400 } as const;
const unreachable = { exitCode: 69, httpStatus: 503 } as const;
const notReady = { exitCode: 75, httpStatus: 503 } as const;
const privilege = { exitCode: 77, httpStatus: 500 } as const;
const configuration = { exitCode: 78, httpStatus: 500 } as const;
const failure = { exitCode: 1, httpStatus: 500 } as const;
const denied = { exitCode: 77, httpStatus: 403 } as const;
const unauthenticated = { exitCode: 77, httpStatus: 401 } as const;

export const ERROR_CATALOGUE = {
  V6_BUG: failure,
  V6_INTERRUPTED: { exitCode: 130, httpStatus: 503 },

  V6_USAGE: usage,
  V6_USAGE_MISSING_ANSWER: usage,

  V6_CONFIG_NOT_FOUND: configuration,
  V6_CONFIG_SYNTAX: configuration,
  V6_CONFIG_INVALID: configuration,
  V6_CONFIG_SUBNET: configuration,
  V6_CONFIG_VPN_KEYS_MISPLACED: configuration,
  V6_CONFIG_WRITE: configuration,

  V6_ENGINE_MISSING: unreachable,
  V6_ENGINE_PERMISSION: privilege,
  V6_ENGINE_REQUEST: failure,
  V6_ENGINE_CONFLICT: failure,
  V6_ENGINE_TIMEOUT: notReady,

  V6_IMAGE_NOT_FOUND: unreachable,
  V6_IMAGE_BUILD: failure,
  V6_IMAGE_NOT_ALLOWED: denied,

  V6_NET_OVERLAP: configuration,
  V6_NET_NO_FREE_RANGE: configuration,
  V6_NET_PORT_IN_USE: { exitCode: 69, httpStatus: 503 },
  V6_NET_TUN_MISSING: privilege,
  V6_NET_PRIVILEGE: privilege,

  V6_FIREWALL_APPLY: failure,
  V6_FIREWALL_READ: failure,

  V6_PORTS_EXHAUSTED: notReady,
  V6_SLOTS_EXHAUSTED: notReady,

  V6_VPN_OFF: { exitCode: 78, httpStatus: 501 },
  V6_VPN_CONFIG_INVALID: configuration,
  V6_VPN_CONFIG_REFUSED: { exitCode: 78, httpStatus: 502 },
  V6_VPN_CERTIFICATE_EXPIRED: notReady,
  V6_VPN_CERTIFICATE_REFUSED: notReady,
  V6_VPN_SERVER_UNTRUSTED: notReady,
  V6_VPN_CIPHER_MISMATCH: configuration,
  V6_VPN_SERVER_UNREACHABLE: unreachable,
  V6_VPN_SUBNET_MISMATCH: configuration,
  V6_VPN_NO_DATA: notReady,
  V6_VPN_CLIENT_FAILED: notReady,
  V6_VPN_PLAIN_HTTP: { exitCode: 78, httpStatus: 403 },
  V6_VPN_REVOKED: { exitCode: 77, httpStatus: 403 },

  V6_PORTAL_UNREACHABLE: unreachable,
  V6_PORTAL_TLS: unreachable,
  V6_PORTAL_ANSWER: { exitCode: 69, httpStatus: 502 },
  V6_PORTAL_ACCOUNT: { exitCode: 78, httpStatus: 502 },
  V6_PORTAL_CLIENT: { exitCode: 78, httpStatus: 502 },
  V6_PORTAL_REDIRECT: { exitCode: 78, httpStatus: 502 },
  V6_PORTAL_APPROVAL: { exitCode: 78, httpStatus: 502 },
  V6_PORTAL_NO_PROFILE: { exitCode: 78, httpStatus: 502 },
  V6_PORTAL_SEVERAL_PROFILES: { exitCode: 78, httpStatus: 502 },
  V6_PORTAL_QUOTA: { exitCode: 69, httpStatus: 503 },
  V6_PORTAL_TOKEN: { exitCode: 69, httpStatus: 502 },
  V6_PORTAL_NOT_OPENVPN: { exitCode: 78, httpStatus: 502 },
  V6_PORTAL_NOT_RUNNING: unreachable,

  V6_SERVER_UNREACHABLE: unreachable,
  V6_SERVER_ANSWER: { exitCode: 69, httpStatus: 502 },
  V6_SERVER_REFUSED: failure,
  V6_SERVER_NOT_RUNNING: unreachable,
  V6_SERVER_NOT_READY: notReady,
  V6_SERVER_RUNNING: usage,
  V6_IMPORT_INVALID: configuration,
  V6_IMPORT_NOT_ALLOWED: configuration,
  V6_AUTH_REQUIRED: unauthenticated,
  V6_AUTH_FAILED: unauthenticated,
  V6_AUTH_API_KEY: unauthenticated,
  V6_AUTH_TOKEN_EXPIRED: unauthenticated,
  V6_AUTH_TOKEN_INVALID: { exitCode: 77, httpStatus: 422 },
  V6_AUTH_FORBIDDEN: denied,
  V6_RECOVERY_TOKEN: { exitCode: 77, httpStatus: 400 },
  V6_MAIL_OFF: { exitCode: 78, httpStatus: 501 },
  V6_MAIL_SEND: unreachable,
  V6_TLS_REQUIRED: denied,
  V6_REQUEST_INVALID: { exitCode: 2, httpStatus: 400 },
  V6_REQUEST_NOT_FOUND: { exitCode: 2, httpStatus: 404 },
  V6_REQUEST_CONFLICT: { exitCode: 2, httpStatus: 400 },
  V6_REQUEST_METHOD: { exitCode: 2, httpStatus: 405 },
  V6_REQUEST_UNSUPPORTED: { exitCode: 2, httpStatus: 501 },
  V6_REQUEST_RATE: { exitCode: 75, httpStatus: 429 },
  V6_DATABASE: { exitCode: 69, httpStatus: 503 },

  V6_NODE_NOT_RUNNING: unreachable,
  V6_NODE_ALREADY_RUNNING: usage,
  V6_NODE_NOT_READY: notReady,
  V6_NODE_ENCRYPTION_MISMATCH: configuration,
  V6_RUN_FAILED: failure,
  V6_RUN_NOT_ALLOWED: denied,

  V6_ENCRYPTION_KEY_FILE: configuration,
  V6_ENCRYPTION_KEY_INVALID: { exitCode: 78, httpStatus: 502 },
  V6_ENCRYPTION_KEY_CHANGED: { exitCode: 78, httpStatus: 502 },
  V6_ENCRYPTION_KEY_UNKNOWN: { exitCode: 78, httpStatus: 502 },
  V6_ENCRYPTION_OWN_KEY: configuration,
  V6_ENCRYPTION_UNREADABLE: { exitCode: 1, httpStatus: 502 },

  V6_LOGIN_NOT_FOUND: usage,
  V6_TEST_NO_NODES: { exitCode: 3, httpStatus: 500 },
  V6_TEST_PAIR_FAILED: { exitCode: 3, httpStatus: 500 },
  V6_TEST_NO_ADDRESS: { exitCode: 3, httpStatus: 500 },
  V6_TEST_NO_REPORT: { exitCode: 3, httpStatus: 500 },
  V6_TEST_REFUSED: { exitCode: 3, httpStatus: 500 },
  V6_TEST_TIMEOUT: { exitCode: 3, httpStatus: 500 },
  V6_TEST_UNREACHABLE: { exitCode: 3, httpStatus: 500 },
  V6_TEST_CLOSED: { exitCode: 3, httpStatus: 500 },
  V6_TEST_WRONG_PEER: { exitCode: 3, httpStatus: 500 },
  V6_TEST_NODE_OFFLINE: { exitCode: 3, httpStatus: 500 },
  V6_TEST_ENCRYPTED: configuration,

  V6_DEMO_NOT_RUNNING: unreachable,
} as const satisfies Record<`V6_${string}`, ErrorEntry>;

export type ErrorCode = keyof typeof ERROR_CATALOGUE;

export interface V6ErrorOptions {
  /** What to do next, most likely first; each a sentence or a command. */
  readonly hints?: readonly string[];
  /** Safe to print and log: never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** An expected failure: what failed with the value in question, one catalogue row, and the next step. */
export class V6Error extends Error {
  override readonly name = 'V6Error';
  readonly code: ErrorCode;
  readonly hints: readonly string[];
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: V6ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hints = options.hints ?? [];
    this.details = options.details ?? {};
  }

  get entry(): ErrorEntry {
    return ERROR_CATALOGUE[this.code];
  }
}

/** True for an expected failure, optionally of one of the given codes. */
export function isV6Error(error: unknown, ...codes: ErrorCode[]): error is V6Error {
  return error instanceof V6Error && (codes.length === 0 || codes.includes(error.code));
}

/** Any thrown value as a V6Error; what is not one is a bug (`V6_BUG`) and keeps the original as cause. */
export function toV6Error(error: unknown): V6Error {
  if (error instanceof V6Error) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new V6Error('V6_BUG', `Unexpected error: ${message}`, {
    cause: error,
    hints: ['This is a bug in v6: run the command again with DEBUG=v6 and report what it prints.'],
  });
}
