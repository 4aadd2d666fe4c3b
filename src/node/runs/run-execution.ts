import type { ContainerState } from '../../core/engine/engine.ts';
import { isV6Error, toV6Error, V6Error } from '../../core/errors.ts';
import type { OpenRun } from '../interfaces/coordinator.ts';
import type { EndStatus, PortLease, RunRecord } from '../interfaces/run-files.ts';
import { waitForEnd } from './container-end.ts';
import {
  type EndEvidence,
  endedMeanwhile,
  engineStopped,
  gatherEvidence,
  wasSignalled,
} from './end-cause.ts';
import { RunContext } from './run-context.ts';
import type { RunDeps } from './run-deps.ts';
import {
  failureNote,
  type RunEnding,
  RunRefused,
  RunStopped,
  type StopCause,
} from './run-ending.ts';
import { finishRun } from './run-finish.ts';
import { RunRegistration } from './run-registration.ts';
import { resumeRun, startRun } from './run-start.ts';

/** How a run comes to an execution. */
export type RunOrigin =
  | { readonly kind: 'new' }
  /** Its container outlived an earlier daemon. */
  | { readonly kind: 'adopted'; readonly record: RunRecord; readonly container: ContainerState }
  /** Its container ended while no daemon was there. */
  | {
      readonly kind: 'ended';
      readonly record: RunRecord;
      readonly container: ContainerState;
      readonly evidence: EndEvidence;
    }
  /** It ended under an earlier daemon, and the server does not know yet. */
  | { readonly kind: 'unreported'; readonly record: RunRecord }
  /** It was begun by an earlier daemon, and cannot be carried on. */
  | { readonly kind: 'lost'; readonly loss?: Loss; readonly record?: RunRecord | undefined };

/** What became of a run that cannot be carried on: its algorithm was never started, or is gone, or stands in the way. */
export type Loss = 'never-started' | 'gone' | 'misplaced';

/** One run, from its first word to the server to its last. It says its end exactly once. */
export class RunExecution {
  readonly open: OpenRun;
  readonly #context: RunContext;
  readonly #origin: RunOrigin;
  readonly #stop = new AbortController();
  readonly #reporting = new AbortController();
  #isEnding = false;

  constructor(deps: RunDeps, open: OpenRun, origin: RunOrigin = { kind: 'new' }) {
    this.open = open;
    this.#origin = origin;
    this.#context = new RunContext(deps, open, this.#stop.signal);
  }

  get state(): { readonly state: string; readonly since: Date } {
    return this.#context.state;
  }

  /** True from the moment that the algorithm has ended. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** True when only its container tells the next daemon how it ended. */
  get needsContainer(): boolean {
    return this.#context.needsContainer;
  }

  /** Carries the run out. Never rejects. */
  async execute(): Promise<void> {
    let ending: RunEnding;
    try {
      ending = await this.#live();
      if (this.#isLeft()) return this.#context.stream?.stop();
    } catch (error) {
      if (this.#isLeft()) return this.#context.stream?.stop();
      ending = await this.#endingOf(error);
    }
    this.#isEnding = true;
    await this.#context.stream?.stop();
    this.#context.enter('ending');
    await finishRun(this.#context, ending, this.#reporting.signal);
  }

  /** Ends the run early. The first cause counts. */
  stop(cause: StopCause): void {
    if (!this.#stop.signal.aborted) this.#stop.abort(new RunStopped(cause));
  }

  /** Gives up telling the server about the end: what is not acknowledged is told by the next daemon. */
  giveUpReporting(): void {
    this.#reporting.abort(new V6Error('V6_INTERRUPTED', 'The node is stopping'));
  }

  /** The tunnel is up: a run that had to start without it is registered now. */
  async tunnelIsUp(): Promise<void> {
    if (this.#isEnding) return;
    try {
      await this.#context.registration?.register();
    } catch (error) {
      if (this.#stop.signal.aborted || this.#isEnding) return;
      this.#context.warn('The ports of a run could not be registered', error);
    }
  }

  /** Nothing is undone or told: the next daemon finds all of it as it is. */
  #isLeft(): boolean {
    const { reason } = this.#stop.signal;
    return reason instanceof RunStopped && reason.stop === 'left';
  }

  async #live(): Promise<RunEnding> {
    const context = this.#context;
    const origin = this.#origin;
    switch (origin.kind) {
      case 'new':
        await startRun(context);
        break;
      case 'adopted':
        await resumeRun(context, origin.record, origin.container);
        break;
      case 'ended':
        takeOver(context, origin.record, origin.container.id);
        return collect(context, origin.container, async () => origin.evidence);
      case 'unreported':
        takeOver(context, origin.record);
        return endingOfRecord(context, origin.record);
      case 'lost':
        takeOver(context, origin.record);
        throw new RunRefused('failed', lost(origin.loss));
    }
    const { deps, container, signal } = context;
    const { state, absences } = await waitForEnd(deps, container as string, signal);
    return collect(context, state, () => gatherEvidence(deps, state, absences, signal));
  }

  async #endingOf(thrown: unknown): Promise<RunEnding> {
    const context = this.#context;
    const finishedAt = context.deps.clock.now();
    const { reason } = context.signal;
    if (context.signal.aborted && reason instanceof RunStopped) {
      const status = endedFromOutside(context, reason.stop);
      return { status, log: context.log(await context.readLogs()), finishedAt };
    }
    const error = thrown instanceof RunRefused ? thrown.error : toV6Error(thrown);
    const status = thrown instanceof RunRefused ? thrown.status : 'failed';
    if (!context.isClosed) context.warn('A run failed', error);
    context.notes.push(failureNote(error));
    return { status, log: context.log(await context.readLogs()), finishedAt };
  }
}

/** What the run's log says of an end from outside, and the status of it. */
function endedFromOutside(context: RunContext, cause: StopCause): EndStatus {
  if (cause === 'stopped') context.notes.push('The node was stopped (node stopped).');
  if (cause === 'engine-stopped') {
    context.isEngineGoing = true;
    context.notes.push(failureNote(engineStopped()));
  }
  context.isClosed ||= cause === 'closed';
  return cause === 'stopped' || cause === 'engine-stopped' ? 'failed' : 'killed by user';
}

/** The ending of a container that ended: its exit status, its log, its output file, and the moment that the engine gives. */
async function collect(
  context: RunContext,
  ended: ContainerState,
  evidence: () => Promise<EndEvidence>,
): Promise<RunEnding> {
  context.hasEnded = true;
  const output = await context.readLogs();
  const finishedAt = ended.finishedAt ?? context.deps.clock.now();
  const payload = await readOutput(context);
  // Who obeys the engine's SIGTERM ends well, and has no result.
  const hasNoResult = ended.exitCode === 0 && payload?.byteLength === 0;
  if ((wasSignalled(ended) || hasNoResult) && endedMeanwhile(ended, await evidence())) {
    context.notes.push(failureNote(engineStopped(ended)));
    return { status: 'failed', log: context.log(output), finishedAt };
  }
  if (ended.oomKilled)
    context.notes.push('The algorithm used more memory than it may, and was ended.');
  const status = ended.exitCode === 0 && payload !== undefined ? 'completed' : 'crashed';
  const log = context.log(output);
  return payload === undefined ? { status, log, finishedAt } : { status, log, finishedAt, payload };
}

/** What the algorithm left; undefined, with a line in the run's log, when that cannot be read. */
async function readOutput(context: RunContext): Promise<Uint8Array | undefined> {
  try {
    return await context.deps.files.readOutput(context.id);
  } catch (error) {
    context.notes.push(failureNote(toV6Error(error)));
    return undefined;
  }
}

/** What an earlier daemon wrote down about the end; the result still lies in the run's folder. */
async function endingOfRecord(context: RunContext, record: RunRecord): Promise<RunEnding> {
  const { outcome } = record;
  if (outcome === undefined) throw lost();
  const { status, log } = outcome;
  const finishedAt = new Date(outcome.finishedAt);
  if (status !== 'completed') return { status, log, finishedAt };
  try {
    return { status, log, finishedAt, payload: await context.deps.files.readOutput(record.run) };
  } catch (error) {
    const note = `${failureNote(toV6Error(error))}\n`;
    return { status: 'failed', log: note + log, finishedAt };
  }
}

/** What an earlier daemon held for the run; it may have registered ports, which the end takes back. */
function takeOver(context: RunContext, record?: RunRecord, container?: string): void {
  context.record = record;
  context.container = container;
  context.registration = new RunRegistration(context.deps, context.id, [], context.signal);
  context.registration.takeOver();
  for (const lease of record?.ports ?? []) keepLease(context, lease);
}

/** The server may list it until the run's end is told. One that a living run holds stays with that. */
function keepLease({ deps, id }: RunContext, lease: PortLease): void {
  try {
    deps.ports.adopt(id, [lease]);
  } catch (error) {
    if (!isV6Error(error, 'V6_PORTS_EXHAUSTED')) throw error;
  }
}

const LOSSES: Readonly<Record<Loss, string>> = {
  'never-started': 'The node was restarted before it had started the algorithm',
  gone: 'The node was restarted, and its algorithm has no container: it was not started yet, or somebody removed it',
  misplaced:
    'The node was restarted with other networks or without its notes about this run, and the algorithm was ended',
};

function lost(loss: Loss = 'gone'): V6Error {
  return new V6Error('V6_RUN_FAILED', LOSSES[loss], { hints: ['Create the task again.'] });
}
