import { isV6Error } from '../../core/errors.ts';
import type { KillContainers } from '../../core/protocol/events.ts';
import type { OpenRun } from '../interfaces/coordinator.ts';
import { hasServerFailed, isServerAway } from '../server-patience.ts';
import type { Recovery } from './recovery.ts';
import { parentOf, type RunDeps } from './run-deps.ts';
import type { StopCause } from './run-ending.ts';
import { RunExecution, type RunOrigin } from './run-execution.ts';
import { RunQueue } from './run-queue.ts';
import { removeStrayContainers } from './stray-containers.ts';

interface Entry {
  readonly run: number;
  readonly task: number;
  readonly parent: number | null;
  readonly execution: RunExecution;
}

/** After this long a stopping node gives up telling the server about the ends of its runs. */
const LAST_REPORT_MS = 5000;
/** Between a failed reading of the open runs and the next. */
const SYNC_PAUSE_MS = 2000;
/** Ids of ended runs that are kept, so that a list that was under way does not bring one back. */
const ENDED_MAX = 10_000;

/** The runs of a node: takes those that the server has for it, lets them wait for their turn, ends them when told. */
export class RunManager {
  readonly #deps: RunDeps;
  readonly #queue: RunQueue<Entry>;
  readonly #ended = new Set<number>();
  /** Ended runs whose containers stay for the next daemon. */
  readonly #kept = new Set<number>();
  readonly #alive = new Map<number, boolean>();
  readonly #life: AbortSignal;
  readonly #running = new Set<Promise<void>>();
  #isTaking = true;
  #isSyncing = false;
  #wanted: { readonly tasks: Set<number>; all: boolean } = { tasks: new Set(), all: false };

  constructor(deps: RunDeps, life: AbortSignal) {
    this.#deps = deps;
    this.#life = life;
    this.#queue = new RunQueue(deps.config.maxRuns);
  }

  /** Carries on what an earlier daemon left. */
  adopt(recovery: Recovery): void {
    // What lives has its ports first.
    const lives = ({ origin }: Recovery['runs'][number]): number =>
      Number(origin.kind === 'adopted');
    for (const { open, origin } of recovery.runs.toSorted((a, b) => lives(b) - lives(a))) {
      const entry = this.#entryOf(open, origin);
      this.#queue.activate(entry);
      this.#begin(entry);
    }
  }

  /** Reads the open runs again, of one task or all of them. Calls that come meanwhile are joined into one more reading. */
  requestSync(task?: number): void {
    if (!this.#isTaking) return;
    if (task === undefined) this.#wanted.all = true;
    else this.#wanted.tasks.add(task);
    if (this.#isSyncing) return;
    this.#isSyncing = true;
    void this.#syncAll().finally(() => {
      this.#isSyncing = false;
    });
  }

  /** Ends what the server wants ended: listed runs of ours, or with our node id and no list all of them. An empty list ends nothing. */
  kill({ collaboration_id, node_id, kill_list }: KillContainers): void {
    const { identity, logger } = this.#deps;
    if (collaboration_id !== identity.collaboration) return;
    if (node_id !== undefined && node_id !== identity.id) return;
    if (kill_list === undefined && node_id === undefined) {
      logger.warn('An order to end all runs names no node; nothing is ended');
      return;
    }
    const listed = kill_list?.filter((item) => item.organization_id === identity.organization);
    const runs = listed?.map((item) => item.run_id);
    for (const entry of this.#all())
      if (runs === undefined || runs.includes(entry.run)) this.#end(entry, 'killed');
  }

  /** The server has acknowledged a tunnel address. */
  tunnelIsUp(): void {
    for (const { execution } of this.#queue.active()) void execution.tunnelIsUp();
  }

  /**
   * Takes no more runs, ends those that are active, and tells the server as far as it answers soon. Waiting runs stay open there.
   * With `left` nothing is ended and nobody told: the algorithms go on without a daemon, and the next one carries on.
   */
  async stop(cause: Extract<StopCause, 'stopped' | 'engine-stopped' | 'left'> = 'stopped') {
    this.#isTaking = false;
    this.#queue.clearWaiting();
    const active = this.#queue.active().map(({ execution }) => execution);
    for (const execution of active) {
      execution.stop(cause);
      if (cause === 'left') execution.giveUpReporting();
    }
    const limit = new AbortController();
    const late = this.#deps.clock.sleep(LAST_REPORT_MS, limit.signal).then(
      () => {
        for (const execution of active) execution.giveUpReporting();
      },
      () => undefined,
    );
    await Promise.all(this.#running);
    limit.abort(new Error('all runs have ended'));
    await late;
  }

  /** Active runs first, then those that wait, in order. */
  list(): readonly { run: number; task: number; image: string; state: string; since: Date }[] {
    return this.#all().map(({ run, task, execution }) => ({
      run,
      task,
      image: execution.open.task.image,
      ...execution.state,
    }));
  }

  get queued(): number {
    return this.#queue.waiting().length;
  }

  /** Those that wait, in order; position 1 is the next. */
  get queue(): readonly { run: number; task: number; position: number; reason: string }[] {
    return this.#queue.waiting().map((entry, index) => ({
      run: entry.run,
      task: entry.task,
      position: index + 1,
      reason: this.#queue.reasonFor(entry),
    }));
  }

  async #syncAll(): Promise<void> {
    while (this.#isTaking && (this.#wanted.all || this.#wanted.tasks.size > 0)) {
      const { all, tasks } = this.#wanted;
      this.#wanted = { all: false, tasks: new Set() };
      try {
        if (all) await this.#sync(undefined);
        else for (const task of tasks) await this.#sync(task);
      } catch (error) {
        if (this.#life.aborted) return;
        this.#deps.logger.warn('The open runs could not be read; reading them again', {
          code: isV6Error(error) ? error.code : 'V6_BUG',
          error,
        });
        this.#wanted.all = true;
        await this.#deps.clock.sleep(SYNC_PAUSE_MS, this.#life).catch(() => undefined);
        if (this.#life.aborted) return;
      }
    }
  }

  async #sync(task: number | undefined): Promise<void> {
    const before = this.#all();
    const open = await this.#deps.runs.listOpen(task, this.#life);
    if (!this.#isTaking) return;
    for (const run of open) {
      if (this.#queue.has(run.id) || this.#ended.has(run.id)) continue;
      const origin: RunOrigin = run.startedAt === null ? { kind: 'new' } : { kind: 'lost' };
      this.#queue.add(this.#entryOf(run, origin));
    }
    const killed = open.filter(({ status }) => status === 'killed by user').map(({ id }) => id);
    for (const entry of before) if (killed.includes(entry.run)) this.#end(entry, 'killed');
    if (task === undefined) {
      const ids = new Set(open.map(({ id }) => id));
      for (const entry of before) if (!ids.has(entry.run)) await this.#endIfClosed(entry);
    }
    this.#startReady();
    if (task === undefined) await this.#removeStrays();
  }

  /** What an end could not remove is removed later, by us or by others; then its slot is free as well. */
  async #removeStrays(): Promise<void> {
    const ended = [...this.#ended].filter((run) => !this.#kept.has(run));
    // Those that are left to the next daemon are in no list any more.
    const isOurs = (run: number): boolean =>
      !this.#isTaking || this.#queue.has(run) || this.#kept.has(run);
    const left = await removeStrayContainers(this.#deps, isOurs);
    if (left === undefined || !this.#isTaking) return;
    for (const run of ended) if (!left.has(run)) this.#deps.slots.release(run);
  }

  /** A run may slip through a list of several pages while others end: only a second reading of its own task ends it. */
  async #endIfClosed(entry: Entry): Promise<void> {
    if (entry.execution.isEnding) return;
    const open = await this.#deps.runs.listOpen(entry.task, this.#life);
    if (!open.some(({ id }) => id === entry.run)) this.#end(entry, 'closed');
  }

  #startReady(): void {
    if (!this.#isTaking) return;
    const ready = this.#queue.takeReady((task) => this.#alive.get(task) === true);
    for (const entry of ready) this.#begin(entry);
    const parents = new Set(this.#queue.waiting().map(({ parent }) => parent));
    for (const parent of parents)
      if (parent !== null && !this.#alive.has(parent)) void this.#askFor(parent);
  }

  /** Learns whether a parent task lives on another node. A server that does not answer is asked again with the next reading. */
  async #askFor(parent: number): Promise<void> {
    this.#alive.set(parent, false);
    try {
      this.#alive.set(parent, await this.#deps.runs.hasOpenRuns(parent, this.#life));
      if (this.#alive.get(parent)) this.#startReady();
    } catch (error) {
      if (isServerAway(error) || hasServerFailed(error)) this.#alive.delete(parent);
      else this.#deps.logger.debug('The runs of a parent task could not be read', { error });
    }
  }

  #begin(entry: Entry): void {
    // Python servers leave a run open whose node was told to end all of its runs, and perhaps never heard of it.
    if (entry.execution.open.status === 'killed by user') entry.execution.stop('killed');
    const running = entry.execution.execute().finally(() => {
      this.#running.delete(running);
      if (entry.execution.needsContainer) this.#kept.add(entry.run);
      this.#forget(entry.run);
      this.#startReady();
    });
    this.#running.add(running);
  }

  #end(entry: Entry, cause: 'killed' | 'closed'): void {
    if (entry.execution.isEnding) return;
    entry.execution.stop(cause);
    // A run that still waits never started: its execution only tells its end.
    if (this.#queue.waiting().includes(entry)) {
      this.#queue.remove(entry.run);
      this.#queue.activate(entry);
      this.#begin(entry);
    }
  }

  #forget(run: number): void {
    this.#queue.remove(run);
    this.#ended.add(run);
    if (this.#ended.size > ENDED_MAX) {
      const [oldest] = this.#ended;
      if (oldest !== undefined) this.#ended.delete(oldest);
    }
  }

  #entryOf(open: OpenRun, origin: RunOrigin): Entry {
    return {
      run: open.id,
      task: open.task.id,
      parent: parentOf(open),
      execution: new RunExecution(this.#deps, open, origin),
    };
  }

  #all(): readonly Entry[] {
    return [...this.#queue.active(), ...this.#queue.waiting()];
  }
}
