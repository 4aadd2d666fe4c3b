import { ECHO_LABEL, ECHO_PROTOCOLS, type EchoProtocol } from '../core/protocol/echo.ts';
import type { TestPair } from '../core/vpn/test-report.ts';
import { type Member, MeshEvidence } from './evidence.ts';
import { findHop } from './hops.ts';
import { explainMissingPair } from './missing-report.ts';

/**
 * Every directed pair of the members in both protocols, each exactly once and in order. Built from the members and not
 * from what was reported: a pair that nobody reports is a failed one.
 */
export function judgePairs(members: readonly Member[]): readonly TestPair[] {
  const mesh = new MeshEvidence(members);
  return members.flatMap((from) =>
    members.flatMap((to) => ECHO_PROTOCOLS.map((protocol) => judgePair(from, to, protocol, mesh))),
  );
}

function judgePair(from: Member, to: Member, protocol: EchoProtocol, mesh: MeshEvidence): TestPair {
  const ends = { from: from.organization, to: to.organization, protocol };
  const reported = mesh.pair(from.organization, to.organization, protocol);
  if (reported === undefined) {
    const error =
      from.report === undefined || to.run === undefined
        ? explainMissingPair(from, to)
        : ({
            code: 'V6_TEST_NO_REPORT',
            message: `the report of node ${from.node} lacks this pair`,
            hop: null,
          } as const);
    return { ...ends, label: ECHO_LABEL[protocol], address: null, ok: false, rttMs: null, error };
  }
  const { address, ok, rttMs, error } = reported;
  return {
    ...ends,
    label: ECHO_LABEL[protocol],
    address,
    ok,
    rttMs,
    error: error === null ? null : { ...error, hop: findHop(ends, mesh) },
  };
}
