import type { ErrorCode } from '../errors.ts';
import { isRecord } from './json.ts';

/**
 * What the echo algorithm reports and `v6 vpn test` reads. The report comes out of a container of another organization:
 * it is parsed, bounded and stripped of control characters before anything is done with it.
 */

/** Labels of the echo image's two ports (`LABEL p8888=echo-tcp`, `p8889=echo-udp`). */
export const ECHO_LABEL = { tcp: 'echo-tcp', udp: 'echo-udp' } as const;

/** Ports inside the echo container. */
export const ECHO_PORT = { tcp: 8888, udp: 8889 } as const;

export const ECHO_PROTOCOLS = ['tcp', 'udp'] as const;
export type EchoProtocol = (typeof ECHO_PROTOCOLS)[number];

/** Where a pair failed, as design and documentation name it; null when it is not known. */
export const HOPS = [
  'engine',
  'client',
  'tunnel',
  'hub',
  'peer-client',
  'rule',
  'container',
] as const;
export type Hop = (typeof HOPS)[number];

export interface PairError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hop: Hop | null;
}

/** Round trips in milliseconds. */
export interface RoundTrips {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** One direction of one protocol, as its sender saw it. */
export interface EchoPair {
  /** Organization of the receiver. */
  readonly to: number;
  readonly protocol: EchoProtocol;
  readonly label: string;
  /** `ip:port` in the VPN; null when the receiver's address never appeared. */
  readonly address: string | null;
  readonly ok: boolean;
  readonly rttMs: RoundTrips | null;
  readonly error: PairError | null;
}

export interface EchoReport {
  /** Organization of the sender. */
  readonly organization: number;
  readonly pairs: readonly EchoPair[];
  readonly durationMs: number;
}

/** Codes that an echo container may put into a pair; another one in its report counts as V6_TEST_PAIR_FAILED. */
const PAIR_CODES = [
  'V6_TEST_PAIR_FAILED',
  'V6_TEST_NO_ADDRESS',
  'V6_TEST_REFUSED',
  'V6_TEST_TIMEOUT',
  'V6_TEST_UNREACHABLE',
  'V6_TEST_CLOSED',
  'V6_TEST_WRONG_PEER',
] as const satisfies readonly ErrorCode[];

const MAX_TEXT = 300;

/** A report out of what a container wrote; undefined when it is none. */
export function parseEchoReport(value: unknown): EchoReport | undefined {
  if (!isRecord(value)) return undefined;
  const { organization, pairs, durationMs } = value;
  if (!Number.isInteger(organization) || !Array.isArray(pairs)) return undefined;
  const parsed = pairs.map(parsePair);
  if (parsed.includes(undefined)) return undefined;
  return {
    organization: organization as number,
    pairs: parsed as EchoPair[],
    durationMs: isDuration(durationMs) ? durationMs : 0,
  };
}

function parsePair(value: unknown): EchoPair | undefined {
  if (!isRecord(value)) return undefined;
  const { to, protocol, label, address, ok, rttMs, error } = value;
  if (!Number.isInteger(to) || !ECHO_PROTOCOLS.includes(protocol as EchoProtocol)) return undefined;
  const times = parseRoundTrips(rttMs);
  // A pair counts as passed only with its measured times: `ok` alone proves nothing.
  const passed = ok === true && times !== null && typeof address === 'string';
  return {
    to: to as number,
    protocol: protocol as EchoProtocol,
    label: typeof label === 'string' ? plainText(label) : '',
    address: typeof address === 'string' && ADDRESS.test(address) ? address : null,
    ok: passed,
    rttMs: passed ? times : null,
    error: passed ? null : parseError(error),
  };
}

const ADDRESS = /^(\d{1,3}\.){3}\d{1,3}:\d{1,5}$/;

function parseRoundTrips(value: unknown): RoundTrips | null {
  if (!isRecord(value)) return null;
  const { min, median, max } = value;
  return isDuration(min) && isDuration(median) && isDuration(max) ? { min, median, max } : null;
}

function parseError(value: unknown): PairError {
  const { code, message, hop } = isRecord(value) ? value : {};
  return {
    code: PAIR_CODES.find((known) => known === code) ?? 'V6_TEST_PAIR_FAILED',
    message: typeof message === 'string' ? plainText(message) : 'the sender gave no reason',
    hop: HOPS.find((known) => known === hop) ?? null,
  };
}

function isDuration(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

/** At most 300 characters without control characters, so that a peer cannot write to our user's terminal. */
export function plainText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, ' ').slice(0, MAX_TEXT);
}
