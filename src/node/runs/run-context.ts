import { isV6Error, toV6Error } from '../../core/errors.ts';
import type { RunStatus } from '../../core/protocol/entities.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import { untilEngineAnswers } from '../engine-patience.ts';
import type { OpenRun, RunPatch } from '../interfaces/coordinator.ts';
import type { EndStatus, RunRecord } from '../interfaces/run-files.ts';
import { untilAnswered } from '../server-patience.ts';
import { LogStream } from './log-stream.ts';
import { parentOf, type RunDeps } from './run-deps.ts';
import { failureNote, RunRefused, renderLog } from './run-ending.ts';
import type { RunRegistration } from './run-registration.ts';
import { aWhileLonger } from './server-failures.ts';

const WITHOUT_SHARED_LOG =
  'The node does not share the logs of its algorithms (share_algorithm_logs).\n';

/** One run on its way: what it holds by now, and how it speaks to the server and to the log. */
export class RunContext {
  readonly deps: RunDeps;
  readonly open: OpenRun;
  /** Ends the run early; its reason is a RunStopped. */
  readonly signal: AbortSignal;
  /** First lines of the run's log. */
  readonly notes: string[] = [];
  token: string | undefined;
  slot: Slot | undefined;
  container: string | undefined;
  record: RunRecord | undefined;
  registration: RunRegistration | undefined;
  stream: LogStream | undefined;
  hasRules = false;
  /** The server holds the run for ended: it is told nothing more. */
  isClosed = false;
  /** The engine is going away and takes the algorithm along: it is asked for nothing. */
  isEngineGoing = false;
  /** The algorithm has ended by itself. */
  hasEnded = false;
  /** That could be neither written down nor told: the next daemon learns it from the container. */
  needsContainer = false;
  #state = 'queued';
  #since: Date;

  constructor(deps: RunDeps, open: OpenRun, signal: AbortSignal) {
    this.deps = deps;
    this.open = open;
    this.signal = signal;
    this.#since = deps.clock.now();
  }

  get id(): number {
    return this.open.id;
  }

  get state(): { readonly state: string; readonly since: Date } {
    return { state: this.#state, since: this.#since };
  }

  enter(state: string): void {
    this.deps.logger.debug('A run changed its state', { run: this.id, state });
    this.#state = state;
    this.#since = this.deps.clock.now();
  }

  /** One word to the server about the living run. It refuses when it holds the run for ended: then nothing more is said. */
  async tell(patch: RunPatch): Promise<void> {
    const { deps, signal, id } = this;
    try {
      const say = () => deps.runs.patch(id, patch, signal);
      await untilAnswered(deps, 'status of a run', signal, say, aWhileLonger());
    } catch (error) {
      const status = isV6Error(error, 'V6_SERVER_REFUSED') ? error.details.status : undefined;
      if (typeof status === 'number' && status < 500) {
        this.isClosed = true;
        deps.logger.info('The server holds a run for ended', { run: id, error });
      }
      throw error;
    }
  }

  /** A step whose failure has a status of its own. */
  async as<T>(status: EndStatus, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (this.signal.aborted) throw error;
      throw new RunRefused(status, error);
    }
  }

  async keepRecord(record: RunRecord): Promise<void> {
    this.record = record;
    await this.deps.files.saveRecord(record);
  }

  /** What the algorithm has written so far, also over an absence of the engine; when it cannot be read, why. */
  async readLogs(): Promise<string> {
    const { container, deps, signal } = this;
    if (container === undefined || this.isEngineGoing) return '';
    const read = () => deps.engine.containers.logs(container);
    try {
      if (signal.aborted) return await read();
      return await untilEngineAnswers(deps, 'log of an algorithm', signal, read);
    } catch (error) {
      if (signal.aborted && error === signal.reason) return this.readLogs();
      return `${failureNote(toV6Error(error))}\n`;
    }
  }

  /** From now on others see the algorithm's log as it grows, where the node shares logs. */
  streamLog({ isContinued }: { readonly isContinued: boolean }): void {
    const { container, deps, open, token } = this;
    if (!deps.config.shareAlgorithmLogs || container === undefined) return;
    const head = this.log('').trimEnd();
    const run = { run: this.id, task: open.task.id, container, token, head, isContinued };
    this.stream = new LogStream(deps, run);
    this.stream.start();
  }

  /** The log as it goes to the server. */
  log(output: string): string {
    const isShared = this.deps.config.shareAlgorithmLogs || output === '';
    return renderLog(this.notes, isShared ? output : WITHOUT_SHARED_LOG, this.token);
  }

  emit(status: RunStatus): void {
    const { identity, events } = this.deps;
    events.emitStatus({
      run_id: this.id,
      task_id: this.open.task.id,
      collaboration_id: identity.collaboration,
      node_id: identity.id,
      organization_id: identity.organization,
      parent_id: parentOf(this.open),
      status,
    });
  }

  warn(message: string, error: unknown): void {
    const code = isV6Error(error) ? error.code : 'V6_BUG';
    this.deps.logger.warn(message, { run: this.id, task: this.open.task.id, code, error });
  }
}
