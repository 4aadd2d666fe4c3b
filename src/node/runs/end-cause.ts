import type { ContainerState } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import { LABEL } from '../../core/labels.ts';
import { isEngineAway, untilEngineAnswers } from '../engine-patience.ts';
import type { EngineAbsence } from './container-end.ts';
import { engineAnswer } from './engine-answer.ts';
import type { RunDeps } from './run-deps.ts';

/** What speaks for an end that the algorithm did not choose. */
export interface EndEvidence {
  /** When the engine could not be asked. */
  readonly absences: readonly EngineAbsence[];
  /** When other containers of this node that never end by themselves ended last. */
  readonly companions: readonly Date[];
}

/**
 * SIGTERM, SIGKILL, and what the engine writes when it finds a container without its process (moby daemon/daemon.go, restore):
 * how an engine that stops leaves its containers.
 */
const SIGNALLED = new Set([143, 137, 255]);
/** Its request ends some milliseconds before ours fails. */
const BEFORE_MS = 2000;
/** An engine that stops ends its containers at once, and those that stay by force after 10 to 15 s (tried with 20.10). */
const TOGETHER_MS = 20_000;

/** An engine that stops ends all of its containers within this time, and then goes. */
const SETTLE_MS = 1500;

/** Ended by a signal, which is how an engine that stops ends it, and the host with it. */
export function wasSignalled({ exitCode, oomKilled }: ContainerState): boolean {
  return SIGNALLED.has(exitCode) && !oomKilled;
}

/** What is known already, when that is enough; else waits a moment, and looks what became of the engine and of other containers of this node. */
export async function gatherEvidence(
  deps: Pick<RunDeps, 'engine' | 'node' | 'clock' | 'logger'>,
  ended: ContainerState,
  absences: readonly EngineAbsence[],
  signal: AbortSignal,
): Promise<EndEvidence> {
  const { engine, node, clock } = deps;
  const known = { absences, companions: [] };
  if (endedMeanwhile(ended, known)) return known;
  const from = ended.finishedAt ?? clock.now();
  let wasAway = false;
  await clock.sleep(SETTLE_MS, signal);
  const containers = await untilEngineAnswers(deps, 'end of an algorithm', signal, async () => {
    try {
      const labels = { [LABEL.scope]: node.scope, [LABEL.node]: node.name };
      return await engineAnswer(clock, signal, engine.containers.list(labels));
    } catch (error) {
      wasAway ||= isEngineAway(error);
      throw error;
    }
  });
  const until = clock.now();
  return {
    absences: wasAway ? [...absences, { from, until }] : absences,
    companions: endsOfCompanions(containers),
  };
}

/** Containers of ours that end only when somebody ends them, and that the daemon itself never ends by force. */
const COMPANIONS: readonly string[] = ['vpn-client', 'host-rules'];

/** When they ended last. */
export function endsOfCompanions(containers: readonly ContainerState[]): readonly Date[] {
  return containers
    .filter(({ labels }) => COMPANIONS.includes(labels[LABEL.kind] ?? ''))
    .flatMap(({ finishedAt }) => finishedAt ?? []);
}

/** Whether it ended, in whatever way, while the engine went away. */
export function endedMeanwhile({ finishedAt }: ContainerState, evidence: EndEvidence): boolean {
  if (finishedAt === undefined) return false;
  const at = finishedAt.getTime();
  return (
    evidence.absences.some(
      ({ from, until }) => at >= from.getTime() - BEFORE_MS && at <= until.getTime(),
    ) || evidence.companions.some((other) => Math.abs(other.getTime() - at) <= TOGETHER_MS)
  );
}

/** For the log of a run that ended with its engine. */
export function engineStopped(ended?: ContainerState): V6Error {
  const detail =
    ended === undefined
      ? ''
      : ` (exit status ${ended.exitCode}${ended.finishedAt ? ` at ${ended.finishedAt.toISOString()}` : ''})`;
  return new V6Error(
    'V6_RUN_FAILED',
    `The container engine was stopped or restarted while the algorithm ran${detail}`,
    {
      hints: [
        'Create the task again.',
        'With "live-restore": true in the configuration of the engine, algorithms outlive its restart.',
      ],
    },
  );
}
