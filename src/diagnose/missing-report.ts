import type { PairError } from '../core/protocol/echo.ts';
import type { Member } from './evidence.ts';

/** Why a pair has no report: its sender, or the receiver that could not take part. */
export function explainMissingPair(from: Member, to: Member): PairError {
  const absent = explainAbsence(from, 'client') ?? explainAbsence(to, 'peer-client');
  if (absent !== undefined) return absent;
  const { run } = from;
  if (run === undefined) return noReport(`node ${from.node} was given no run`);
  return explainRun(from, run);
}

function explainAbsence(member: Member, hop: 'client' | 'peer-client'): PairError | undefined {
  if (member.run !== undefined) return undefined;
  if (member.state === 'offline')
    return {
      code: 'V6_TEST_NODE_OFFLINE',
      message: `node ${member.node} is offline`,
      // Its VPN client may run or not: an offline node tells nothing.
      hop: null,
    };
  if (member.state === 'skipped')
    return { code: 'V6_VPN_OFF', message: `node ${member.node} works without VPN`, hop };
  return undefined;
}

function explainRun(from: Member, run: NonNullable<Member['run']>): PairError {
  const log = run.lastLine === '' ? '' : `: ${run.lastLine}`;
  const where = `run ${run.run} on node ${from.node}`;
  switch (run.status) {
    case 'pending':
    case 'initializing':
    case 'active':
      return noReport(`${where} is still ${run.status}`);
    case 'non-existing Docker image':
      return {
        code: 'V6_IMAGE_NOT_FOUND',
        message: `node ${from.node} has no such image${log}`,
        hop: 'engine',
      };
    case 'not allowed':
      return {
        code: 'V6_IMAGE_NOT_ALLOWED',
        message: `node ${from.node} does not allow the test's image${log}`,
        hop: 'engine',
      };
    case 'start failed':
      return { code: 'V6_RUN_FAILED', message: `${where} could not start${log}`, hop: 'engine' };
    case 'completed':
      return noReport(`${where} ended without a report`);
    case 'failed':
    case 'crashed':
    case 'killed by user':
    case 'unknown error':
      return { code: 'V6_RUN_FAILED', message: `${where} ended as ${run.status}${log}`, hop: null };
  }
}

const noReport = (message: string): PairError => ({
  code: 'V6_TEST_NO_REPORT',
  message,
  hop: null,
});
