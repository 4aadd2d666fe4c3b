import type { ContainerState } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import type { EngineAbsence } from './container-end.ts';

/** What speaks for an end that the algorithm did not choose. */
export interface EndEvidence {
  /** When the engine could not be asked. */
  readonly absences: readonly EngineAbsence[];
  /** When other containers of this node that never end by themselves ended last. */
  readonly companions: readonly Date[];
}

export const NO_EVIDENCE: EndEvidence = { absences: [], companions: [] };

/**
 * SIGTERM, SIGKILL, and what the engine writes when it finds a container without its process (moby daemon/daemon.go, restore):
 * how an engine that stops leaves its containers.
 */
const SIGNALLED = new Set([143, 137, 255]);
/** Its request ends some milliseconds before ours fails. */
const BEFORE_MS = 2000;
/** An engine that stops ends its containers at once, and those that stay by force after 10 to 15 s (tried with 20.10). */
const TOGETHER_MS = 20_000;

/** Whether the engine, or the host with it, ended this container: it was ended by a signal in that moment. */
export function endedWithEngine(ended: ContainerState, evidence: EndEvidence): boolean {
  return SIGNALLED.has(ended.exitCode) && !ended.oomKilled && endedMeanwhile(ended, evidence);
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
