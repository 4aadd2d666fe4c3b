import type { ContainerState } from '../../core/engine/engine.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import type { OpenRun } from '../interfaces/coordinator.ts';
import type { RunRecord } from '../interfaces/run-files.ts';
import { waitForEnd } from './container-end.ts';
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
  /** It ended under an earlier daemon, and the server does not know yet. */
  | { readonly kind: 'unreported'; readonly record: RunRecord }
  /** It was started by an earlier daemon, and nothing is left of it. */
  | { readonly kind: 'lost' };

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

  /** Carries the run out. Never rejects. */
  async execute(): Promise<void> {
    let ending: RunEnding;
    try {
      ending = await this.#live();
    } catch (error) {
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
      case 'unreported':
        takeOverRegistration(context);
        return endingOfRecord(context, origin.record);
      case 'lost':
        takeOverRegistration(context);
        throw new RunRefused('failed', lost());
    }
    const ended = await waitForEnd(context.deps, context.container as string, context.signal);
    return collect(context, ended);
  }

  async #endingOf(thrown: unknown): Promise<RunEnding> {
    const context = this.#context;
    const finishedAt = context.deps.clock.now();
    const { reason } = context.signal;
    if (context.signal.aborted && reason instanceof RunStopped) {
      if (reason.stop === 'stopped') context.notes.push('The node was stopped (node stopped).');
      context.isClosed ||= reason.stop === 'closed';
      const status = reason.stop === 'stopped' ? 'failed' : 'killed by user';
      return { status, log: context.log(await context.readLogs()), finishedAt };
    }
    const error = thrown instanceof RunRefused ? thrown.error : toV6Error(thrown);
    const status = thrown instanceof RunRefused ? thrown.status : 'failed';
    if (!context.isClosed) context.warn('A run failed', error);
    context.notes.push(failureNote(error));
    return { status, log: context.log(await context.readLogs()), finishedAt };
  }
}

/** The ending of a container that ended by itself: its exit status, its log, its output file. */
async function collect(context: RunContext, ended: ContainerState): Promise<RunEnding> {
  const output = await context.readLogs();
  if (ended.oomKilled)
    context.notes.push('The algorithm used more memory than it may, and was ended.');
  const finishedAt = context.deps.clock.now();
  const status = ended.exitCode === 0 ? 'completed' : 'crashed';
  try {
    const payload = await context.deps.files.readOutput(context.id);
    return { status, log: context.log(output), payload, finishedAt };
  } catch (error) {
    context.notes.push(failureNote(toV6Error(error)));
    return { status: 'crashed', log: context.log(output), finishedAt };
  }
}

/** What an earlier daemon wrote down about the end; the result still lies in the run's folder. */
async function endingOfRecord(context: RunContext, record: RunRecord): Promise<RunEnding> {
  const { outcome } = record;
  if (outcome === undefined) throw lost();
  context.record = record;
  const ending = {
    status: outcome.status,
    log: outcome.log,
    finishedAt: new Date(outcome.finishedAt),
  };
  if (outcome.status !== 'completed') return ending;
  return { ...ending, payload: await context.deps.files.readOutput(record.run) };
}

/** An earlier daemon may have registered ports: the end takes them back. */
function takeOverRegistration(context: RunContext): void {
  context.registration = new RunRegistration(context.deps, context.id, [], context.signal);
  context.registration.wasTried = true;
}

function lost(): V6Error {
  return new V6Error('V6_RUN_FAILED', 'The node was restarted, and the algorithm is gone', {
    hints: ['Create the task again.'],
  });
}
