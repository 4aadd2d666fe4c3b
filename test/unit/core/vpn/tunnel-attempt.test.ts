import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ManagementEvent } from '../../../../src/core/vpn/management.ts';
import { parseNotification } from '../../../../src/core/vpn/management.ts';
import {
  type AttemptResult,
  advance,
  newAttempt,
} from '../../../../src/core/vpn/tunnel-attempt.ts';

const CONNECTED = '>STATE:1,CONNECTED,SUCCESS,10.202.0.11,192.0.2.1,1194,,';
const state = (name: string, detail = ''): string => `>STATE:1,${name},${detail},,,,,`;
const log = (text: string): string => `>LOG:1,N,${text}`;

function play(...lines: string[]): (AttemptResult | undefined)[] {
  const results: (AttemptResult | undefined)[] = [];
  let attempt = newAttempt;
  for (const line of lines) {
    const event = parseNotification(line);
    if (!event) throw new Error(`not an event: ${line}`);
    const step = advance(attempt, event);
    attempt = step.attempt;
    if (step.result) results.push(step.result);
  }
  return results;
}

/** What OpenVPN 2.6.14 was seen to say (network-design, section 8). */
const DRILLS: readonly [string, readonly string[], string, boolean][] = [
  [
    'certificate revoked, expired or of another authority',
    [
      state('WAIT'),
      state('AUTH'),
      log('TLS Error: TLS key negotiation failed to occur within 12 seconds'),
      state('RECONNECTING', 'tls-error'),
    ],
    'V6_VPN_CERTIFICATE_REFUSED',
    true,
  ],
  [
    'AUTH_FAILED of a server that knows our name no more',
    [
      state('WAIT'),
      state('AUTH'),
      state('GET_CONFIG'),
      log('AUTH: Received control message: AUTH_FAILED'),
      state('EXITING', 'auth-failure'),
    ],
    'V6_VPN_CERTIFICATE_REFUSED',
    true,
  ],
  [
    'no common cipher',
    [
      state('WAIT'),
      state('AUTH'),
      log(
        'AUTH: Received control message: AUTH_FAILED,Data channel cipher negotiation failed (no shared cipher)',
      ),
      state('EXITING', 'auth-failure'),
    ],
    'V6_VPN_CIPHER_MISMATCH',
    true,
  ],
  [
    'a server that is full for a moment',
    [
      state('AUTH'),
      log('AUTH: Received control message: AUTH_FAILED,TEMP[backoff 42]:server full'),
      state('RECONNECTING', 'auth-temp-failure'),
    ],
    'V6_VPN_SERVER_UNREACHABLE',
    false,
  ],
  [
    'server of another authority',
    [
      state('WAIT'),
      state('AUTH'),
      log('VERIFY ERROR: depth=1, error=self-signed certificate in certificate chain: CN=x'),
      state('RECONNECTING', 'tls-error'),
    ],
    'V6_VPN_SERVER_UNTRUSTED',
    true,
  ],
  [
    'server of another name',
    [
      state('AUTH'),
      log('OpenSSL: error:0A000086:SSL routines::certificate verify failed:'),
      state('RECONNECTING', 'tls-error'),
    ],
    'V6_VPN_SERVER_UNTRUSTED',
    true,
  ],
  [
    'port closed',
    [
      state('WAIT'),
      log('read UDPv4 [ECONNREFUSED]: Connection refused (fd=4,code=111)'),
      state('RECONNECTING', 'tls-error'),
    ],
    'V6_VPN_SERVER_UNREACHABLE',
    false,
  ],
  [
    'wrong tls-crypt key, or nobody there',
    [state('WAIT'), state('RECONNECTING', 'tls-error')],
    'V6_VPN_SERVER_UNREACHABLE',
    false,
  ],
  [
    'no answer over tcp',
    [state('TCP_CONNECT'), state('RECONNECTING', 'init_instance')],
    'V6_VPN_SERVER_UNREACHABLE',
    false,
  ],
  ['tun device broken', ['>FATAL:Cannot open TUN/TAP dev'], 'V6_VPN_CLIENT_FAILED', false],
];

describe('why a tunnel does not come up', () => {
  it.each(DRILLS)('%s', (_, lines, code, definite) => {
    expect(play(...lines)).toMatchObject([{ kind: 'failure', failure: { code, definite } }]);
  });

  it('takes one lost tcp connection for chance, and a second after our certificate for a refusal', () => {
    const once = [state('AUTH'), state('RECONNECTING', 'connection-reset')];
    expect(play(...once)).toMatchObject([{ failure: { definite: false } }]);
    expect(play(...once, ...once).at(-1)).toMatchObject({
      failure: { code: 'V6_VPN_CERTIFICATE_REFUSED', definite: true },
    });
  });

  it('connects, and tells a loss from a failure', () => {
    expect(play(state('WAIT'), state('AUTH'), CONNECTED)).toEqual([
      { kind: 'connected', address: '10.202.0.11', remote: '192.0.2.1:1194' },
    ]);
    expect(play(CONNECTED, state('RECONNECTING', 'ping-restart'))).toMatchObject([
      { kind: 'connected' },
      { kind: 'lost', reason: 'ping-restart' },
    ]);
  });

  it('says nothing of an end that we asked for', () => {
    expect(play(state('WAIT'), state('EXITING', 'SIGTERM'))).toEqual([]);
  });

  it('does not carry the evidence of one attempt into the next', () => {
    const results = play(
      state('AUTH'),
      log('VERIFY ERROR: depth=0, error=x'),
      state('RECONNECTING', 'tls-error'),
      state('WAIT'),
      state('RECONNECTING', 'tls-error'),
    );
    expect(results.map((result) => result?.kind === 'failure' && result.failure.code)).toEqual([
      'V6_VPN_SERVER_UNTRUSTED',
      'V6_VPN_SERVER_UNREACHABLE',
    ]);
  });

  it('remembers how often the server sends keep-alive packets', () => {
    const event = parseNotification(
      log("PUSH: Received control message: 'PUSH_REPLY,topology subnet,ping 2,ping-restart 8'"),
    );
    expect(advance(newAttempt, event as ManagementEvent).attempt.pingSeconds).toBe(2);
  });

  const names = fc.constantFrom(
    'CONNECTING',
    'RESOLVE',
    'TCP_CONNECT',
    'WAIT',
    'AUTH',
    'GET_CONFIG',
    'ASSIGN_IP',
  );
  const details = fc.constantFrom(
    'tls-error',
    'connection-reset',
    'ping-restart',
    'server_poll',
    '',
  );

  it('never burns a credential on an attempt that the server did not answer', () => {
    const unanswered = fc.constantFrom('CONNECTING', 'RESOLVE', 'TCP_CONNECT', 'WAIT');
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.array(unanswered), details)), (attempts) => {
        const lines = attempts.flatMap(([seen, detail]) => [
          ...seen.map((name) => state(name)),
          state('RECONNECTING', detail),
        ]);
        for (const result of play(...lines))
          expect(result).not.toMatchObject({ failure: { definite: true } });
      }),
    );
  });

  it('ends each attempt with one answer at most, and is connected only by the word of openvpn', () => {
    fc.assert(
      fc.property(fc.array(names), details, (seen, detail) => {
        const results = play(...seen.map((name) => state(name)), state('RECONNECTING', detail));
        expect(results.length).toBeLessThanOrEqual(1);
        expect(results.every((result) => result?.kind !== 'connected')).toBe(true);
      }),
    );
  });
});
