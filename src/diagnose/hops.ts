import { ECHO_PROTOCOLS, type EchoPair, type Hop } from '../core/protocol/echo.ts';
import type { Refusal } from '../core/vpn/task-firewall.ts';
import type { TestPair } from '../core/vpn/test-report.ts';
import type { Member, MeshEvidence } from './evidence.ts';

/** A run of these has never been a listening container. */
const NEVER_STARTED = ['start failed', 'non-existing Docker image', 'not allowed'] as const;
const ENDED_BADLY = ['failed', 'crashed', 'killed by user', 'unknown error'] as const;

/**
 * Where a failed pair broke, from all reports side by side and from what the server knows of the nodes at the end of the
 * test. Null whenever the evidence fits more than one place.
 */
export function findHop(
  pair: Pick<TestPair, 'from' | 'to' | 'protocol'>,
  mesh: MeshEvidence,
): Hop | null {
  const from = mesh.find(pair.from);
  const to = mesh.find(pair.to);
  const reported = mesh.pair(pair.from, pair.to, pair.protocol);
  if (from?.report === undefined || to === undefined || reported?.error == null) return null;
  if (reported.error.hop !== null) return reported.error.hop;
  return (
    hopByFirewall(from, to, reported) ??
    hopBySender(from) ??
    (from === to ? hopOfHairpin(reported) : undefined) ??
    (from === to ? null : hopBetween(from, to, reported, mesh))
  );
}

/** A packet was counted where it was dropped: nothing else needs to be asked. */
function hopByFirewall(from: Member, to: Member, pair: EchoPair): Hop | undefined {
  const [address = '', port = ''] = pair.address?.split(':') ?? [];
  const isOfPair = (refusal: Refusal): boolean =>
    refusal.protocol === pair.protocol && String(refusal.port) === port;
  const wasKept = from.run?.refusals.some(
    (refusal) => refusal.side === 'sending' && refusal.address === address && isOfPair(refusal),
  );
  const wasDropped = to.run?.refusals.some(
    (refusal) =>
      refusal.side === 'receiving' && refusal.address === from.vpnAddress && isOfPair(refusal),
  );
  return wasKept === true || wasDropped === true ? 'rule' : undefined;
}

function hopBySender(from: Member): Hop | undefined {
  return from.state === 'tunnel-down' ? 'tunnel' : undefined;
}

/**
 * A pair with oneself passes only the own VPN client: its container listens (it made the report) and its tunnel is up. So
 * the client lacks the rules. Without an address nothing was tried, and it is not known why.
 */
function hopOfHairpin(pair: EchoPair): Hop | null {
  switch (pair.error?.code) {
    case 'V6_TEST_TIMEOUT':
    case 'V6_TEST_REFUSED':
    case 'V6_TEST_UNREACHABLE':
      return 'client';
    default:
      return null;
  }
}

function hopBetween(from: Member, to: Member, pair: EchoPair, mesh: MeshEvidence): Hop | null {
  if (to.state === 'tunnel-down') return 'peer-client';
  if (isOneOf(to.run?.status, NEVER_STARTED)) return 'engine';
  if (isOneOf(to.run?.status, ENDED_BADLY)) return 'container';
  if (pair.error?.code === 'V6_TEST_NO_ADDRESS') return null;
  const { protocol } = pair;
  const own = mesh.pair(from.organization, from.organization, protocol);
  if (own !== undefined && !own.ok) return hopOfHairpin(own);
  const theirs = mesh.pair(to.organization, to.organization, protocol);
  if (theirs !== undefined && !theirs.ok)
    return hopOfHairpin(theirs) === 'client' ? 'peer-client' : null;
  if (isCutOff(from, mesh) && isCutOff(to, mesh)) return 'hub';
  return null;
}

/**
 * Its tunnel is up and it reaches itself, and nothing passes between it and any other node, in neither direction. Who
 * reached anybody has a VPN server that works.
 */
function isCutOff(member: Member, mesh: MeshEvidence): boolean {
  if (member.state !== 'connected') return false;
  const self = member.organization;
  const reachesItself = ECHO_PROTOCOLS.every((protocol) => mesh.pair(self, self, protocol)?.ok);
  const others = mesh.members.filter((other) => other !== member && other.report !== undefined);
  return (
    reachesItself &&
    others.every(({ organization: other }) =>
      ECHO_PROTOCOLS.every(
        (protocol) =>
          wasLost(mesh.pair(self, other, protocol)) && wasLost(mesh.pair(other, self, protocol)),
      ),
    )
  );
}

/** No answer came: as it looks when packets vanish on the way. A refusal is an answer. */
function wasLost(pair: EchoPair | undefined): boolean {
  switch (pair?.error?.code) {
    case 'V6_TEST_TIMEOUT':
    case 'V6_TEST_UNREACHABLE':
    case 'V6_TEST_CLOSED':
      return true;
    default:
      return false;
  }
}

function isOneOf(value: string | undefined, list: readonly string[]): boolean {
  return list.some((item) => item === value);
}
