import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../../src/core/errors.ts';
import type { Ipv4 } from '../../../src/core/net/ipv4.ts';
import {
  ECHO_LABEL,
  ECHO_PROTOCOLS,
  type EchoPair,
  type EchoProtocol,
  type EchoReport,
} from '../../../src/core/protocol/echo.ts';
import { RUN_STATUSES, type RunStatus } from '../../../src/core/protocol/entities.ts';
import type { Refusal } from '../../../src/core/vpn/task-firewall.ts';
import type { Member } from '../../../src/diagnose/evidence.ts';
import { judgePairs } from '../../../src/diagnose/pairs.ts';

const passed = (to: number, protocol: EchoProtocol): EchoPair => ({
  to,
  protocol,
  label: ECHO_LABEL[protocol],
  address: `10.76.0.${to}:49152`,
  ok: true,
  rttMs: { min: 1, median: 2, max: 3 },
  error: null,
});

const failed = (
  to: number,
  protocol: EchoProtocol,
  code: ErrorCode = 'V6_TEST_TIMEOUT',
): EchoPair => ({
  ...passed(to, protocol),
  ok: false,
  rttMs: null,
  error: { code, message: 'no answer', hop: null },
});

type Fate = (to: number, protocol: EchoProtocol) => ErrorCode | undefined;

function reportOf(organization: number, all: readonly number[], fate: Fate): EchoReport {
  return {
    organization,
    durationMs: 1,
    pairs: all.flatMap((to) =>
      ECHO_PROTOCOLS.map((protocol) => {
        const code = fate(to, protocol);
        return code === undefined ? passed(to, protocol) : failed(to, protocol, code);
      }),
    ),
  };
}

function member(
  organization: number,
  options: Partial<Omit<Member, 'run'>> & {
    status?: RunStatus;
    noRun?: boolean;
    refusals?: readonly Refusal[];
  } = {},
): Member {
  const { status = 'completed', noRun = false, refusals = [], ...rest } = options;
  return {
    organization,
    node: `node-${organization}`,
    state: 'connected',
    vpnAddress: `10.76.0.${organization}`,
    ...(noRun
      ? {}
      : { run: { run: organization, status, finished: true, lastLine: '', refusals } }),
    ...rest,
  };
}

/** A mesh where `fate` decides what each sender saw. */
function mesh(
  all: readonly number[],
  fate: (from: number, to: number, protocol: EchoProtocol) => ErrorCode | undefined,
  overrides: Readonly<Record<number, Partial<Member>>> = {},
): readonly Member[] {
  return all.map((from) =>
    member(from, {
      report: reportOf(from, all, (to, protocol) => fate(from, to, protocol)),
      ...overrides[from],
    }),
  );
}

/** One that the task firewall of a node refused. */
const refusal = (side: Refusal['side'], of: number, more: Partial<Refusal> = {}): Refusal => ({
  side,
  address: `10.76.0.${of}` as Ipv4,
  protocol: 'tcp',
  port: 49152,
  packets: 3,
  ...more,
});

const hopsOf = (members: readonly Member[]): readonly string[] =>
  judgePairs(members)
    .filter(({ ok, protocol }) => !ok && protocol === 'tcp')
    .map(({ from, to, error }) => `${from}>${to} ${error?.hop}`);

const cross = (from: number, to: number): ErrorCode | undefined =>
  from === to ? undefined : 'V6_TEST_TIMEOUT';

describe('pairs of a VPN test', () => {
  it('hold every directed pair in both protocols exactly once, whatever was reported', () => {
    const report = (ids: readonly number[]) =>
      fc.array(
        fc.record({
          to: fc.constantFrom(...ids, 999),
          protocol: fc.constantFrom<EchoProtocol>('tcp', 'udp'),
        }),
        { maxLength: 12 },
      );
    fc.assert(
      fc.property(
        fc
          .uniqueArray(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 6 })
          .chain((ids) =>
            fc.tuple(
              fc.constant(ids),
              fc.array(
                fc.record({
                  hasReport: fc.boolean(),
                  noRun: fc.boolean(),
                  pairs: report(ids),
                  ok: fc.boolean(),
                  status: fc.constantFrom(...RUN_STATUSES),
                  state: fc.constantFrom(
                    'connected' as const,
                    'tunnel-down' as const,
                    'offline' as const,
                    'skipped' as const,
                  ),
                }),
                { minLength: ids.length, maxLength: ids.length },
              ),
            ),
          ),
        ([ids, facts]) => {
          const members = ids.map((id, index) => {
            const { hasReport, noRun, pairs, ok, status, state } = facts[
              index
            ] as (typeof facts)[0];
            const reported = pairs.map(({ to, protocol }) =>
              ok ? passed(to, protocol) : failed(to, protocol),
            );
            return member(id, {
              status,
              state,
              noRun,
              ...(hasReport
                ? { report: { organization: id, pairs: reported, durationMs: 0 } }
                : {}),
            });
          });
          const judged = judgePairs(members);
          const keys = judged.map(({ from, to, protocol }) => `${from}>${to}/${protocol}`);
          expect(new Set(keys).size).toBe(keys.length);
          expect(keys.length).toBe(ids.length * ids.length * 2);
          for (const pair of judged) {
            expect(pair.ok).toBe(pair.error === null);
            expect(pair.ok).toBe(pair.rttMs !== null);
          }
        },
      ),
    );
  });

  it('pass as their senders measured them', () => {
    const pairs = judgePairs(mesh([1, 2], () => undefined));
    expect(pairs).toHaveLength(8);
    expect(pairs[2]).toEqual({
      from: 1,
      to: 2,
      protocol: 'tcp',
      label: 'echo-tcp',
      address: '10.76.0.2:49152',
      ok: true,
      rttMs: { min: 1, median: 2, max: 3 },
      error: null,
    });
  });

  it('fail when the sender left no report, with what its run says', () => {
    const codes = (status: RunStatus) => {
      const [pair] = judgePairs([member(1, { status })]);
      return `${pair?.error?.code} ${pair?.error?.hop}`;
    };
    expect(Object.fromEntries(RUN_STATUSES.map((status) => [status, codes(status)]))).toEqual({
      pending: 'V6_TEST_NO_REPORT null',
      initializing: 'V6_TEST_NO_REPORT null',
      active: 'V6_TEST_NO_REPORT null',
      completed: 'V6_TEST_NO_REPORT null',
      failed: 'V6_RUN_FAILED null',
      'start failed': 'V6_RUN_FAILED engine',
      'non-existing Docker image': 'V6_IMAGE_NOT_FOUND engine',
      crashed: 'V6_RUN_FAILED null',
      'killed by user': 'V6_RUN_FAILED null',
      'not allowed': 'V6_IMAGE_NOT_ALLOWED engine',
      'unknown error': 'V6_RUN_FAILED null',
    });
  });

  it('fail when a report lacks one of them', () => {
    const report = { ...reportOf(1, [1, 2], () => undefined) };
    const [first, second] = [
      member(1, { report: { ...report, pairs: report.pairs.slice(0, 3) } }),
      member(2, { report: reportOf(2, [1, 2], () => undefined) }),
    ];
    const missing = judgePairs([first, second]).filter(({ ok }) => !ok);
    expect(missing).toMatchObject([
      { from: 1, to: 2, protocol: 'udp', error: { code: 'V6_TEST_NO_REPORT', hop: null } },
    ]);
  });

  it('of a node that was named and cannot take part fail with its reason', () => {
    const here = member(1, { report: reportOf(1, [1], () => undefined) });
    const judged = (other: Member) =>
      judgePairs([here, other])
        .filter(({ ok, protocol }) => !ok && protocol === 'tcp')
        .map(({ from, to, error }) => `${from}>${to} ${error?.code} ${error?.hop}`);
    expect(judged(member(2, { state: 'offline', noRun: true }))).toEqual([
      '1>2 V6_TEST_NODE_OFFLINE null',
      '2>1 V6_TEST_NODE_OFFLINE null',
      '2>2 V6_TEST_NODE_OFFLINE null',
    ]);
    expect(judged(member(2, { state: 'skipped', noRun: true, vpnAddress: null }))).toEqual([
      '1>2 V6_VPN_OFF peer-client',
      '2>1 V6_VPN_OFF client',
      '2>2 V6_VPN_OFF client',
    ]);
  });
});

describe('the hop of a failed pair', () => {
  it('is the hub when both tunnels are up, both reach themselves, and nothing passes', () => {
    expect(hopsOf(mesh([1, 2, 3], cross))).toEqual(
      ['1>2', '1>3', '2>1', '2>3', '3>1', '3>2'].map((pair) => `${pair} hub`),
    );
  });

  it('is not known when one of the two still reaches a third', () => {
    const fate = (from: number, to: number) =>
      from !== to && (from === 3 || to === 3) ? ('V6_TEST_TIMEOUT' as const) : undefined;
    expect(hopsOf(mesh([1, 2, 3], fate))).toEqual(['1>3 null', '2>3 null', '3>1 null', '3>2 null']);
  });

  it('is not the hub when one protocol passes', () => {
    const members = mesh([1, 2], (from, to, protocol) =>
      protocol === 'tcp' ? cross(from, to) : undefined,
    );
    expect(hopsOf(members)).toEqual(['1>2 null', '2>1 null']);
  });

  it('is not the hub when the other side refuses: a refusal is an answer', () => {
    const members = mesh([1, 2], (from, to) => (from === to ? undefined : 'V6_TEST_REFUSED'));
    expect(hopsOf(members)).toEqual(['1>2 null', '2>1 null']);
  });

  it('is the tunnel of the sender, or the client of the peer, when an address is gone', () => {
    const members = mesh(
      [1, 2],
      (from, to) => (from === 1 && to === 1 ? undefined : 'V6_TEST_TIMEOUT'),
      {
        2: { state: 'tunnel-down', vpnAddress: null },
      },
    );
    expect(hopsOf(members)).toEqual(['1>2 peer-client', '2>1 tunnel', '2>2 tunnel']);
  });

  it('is every own tunnel when all tunnels are down', () => {
    const down = { state: 'tunnel-down', vpnAddress: null } as const;
    const members = mesh([1, 2], () => 'V6_TEST_NO_ADDRESS', { 1: down, 2: down });
    expect(hopsOf(members)).toEqual(['1>1 tunnel', '1>2 tunnel', '2>1 tunnel', '2>2 tunnel']);
  });

  it('is the own client when a node with a tunnel does not reach itself, and the peer client for its peers', () => {
    const members = mesh([1, 2], (_from, to) => (to === 2 ? 'V6_TEST_TIMEOUT' : undefined));
    expect(hopsOf(members)).toEqual(['1>2 peer-client', '2>2 client']);
  });

  it('is not known without an address although the tunnel is up', () => {
    const members = mesh([1, 2], (_from, to) => (to === 2 ? 'V6_TEST_NO_ADDRESS' : undefined));
    expect(hopsOf(members)).toEqual(['1>2 null', '2>2 null']);
  });

  it('is not known when somebody else answers', () => {
    const members = mesh([1, 2], (from, to) => (from < to ? 'V6_TEST_WRONG_PEER' : undefined));
    expect(hopsOf(members)).toEqual(['1>2 null']);
  });

  it('is the container when the run of the receiver broke, the engine when it never started', () => {
    const withPeer = (status: RunStatus): readonly Member[] => [
      member(1, {
        report: reportOf(1, [1, 2], (to) => (to === 2 ? 'V6_TEST_REFUSED' : undefined)),
      }),
      member(2, { status }),
    ];
    expect(hopsOf(withPeer('crashed'))[0]).toBe('1>2 container');
    expect(hopsOf(withPeer('start failed'))[0]).toBe('1>2 engine');
    expect(hopsOf(withPeer('active'))[0]).toBe('1>2 null');
  });

  it('stays as the sender named it', () => {
    const report = reportOf(1, [1], () => 'V6_TEST_TIMEOUT');
    const pairs = report.pairs.map((pair) => ({
      ...pair,
      error: pair.error === null ? null : { ...pair.error, hop: 'rule' as const },
    }));
    expect(hopsOf([member(1, { report: { ...report, pairs } })])).toEqual(['1>1 rule']);
  });

  it('is a rule when the log of one of the two says that its firewall refused this very flow', () => {
    const meshWith = (first: readonly Refusal[], second: readonly Refusal[]): readonly Member[] => [
      member(1, {
        report: reportOf(1, [1, 2], (to) => (to === 2 ? 'V6_TEST_TIMEOUT' : undefined)),
        refusals: first,
      }),
      member(2, { report: reportOf(2, [1, 2], () => undefined), refusals: second }),
    ];
    expect(hopsOf(meshWith([], []))).toEqual(['1>2 null']);
    expect(hopsOf(meshWith([refusal('sending', 2)], []))).toEqual(['1>2 rule']);
    expect(hopsOf(meshWith([], [refusal('receiving', 1)]))).toEqual(['1>2 rule']);
    // Another flow says nothing about this one.
    for (const other of [
      refusal('sending', 2, { port: 50_000 }),
      refusal('sending', 3),
      refusal('sending', 2, { protocol: 'udp' }),
      refusal('receiving', 2),
    ])
      expect(hopsOf(meshWith([other], []))).toEqual(['1>2 null']);
  });
});
