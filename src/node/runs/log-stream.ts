import { isV6Error } from '../../core/errors.ts';
import { LineRedactor } from './line-redactor.ts';
import type { RunDeps } from './run-deps.ts';
import { LOG_MAX_BYTES } from './run-ending.ts';

export type LogStreamDeps = Pick<
  RunDeps,
  'engine' | 'events' | 'runs' | 'identity' | 'clock' | 'logger'
>;

export interface StreamedRun {
  readonly run: number;
  readonly task: number;
  readonly container: string;
  readonly token: string | undefined;
  /** First lines of the log, without a newline at the end: what the server has of it when the stream starts. */
  readonly head: string;
  /** The server may hold more, or less, than the head: an earlier daemon streamed as well. */
  readonly isContinued: boolean;
}

/** Lines wait this long for others. */
const FLUSH_MS = 500;
/** Characters per message: with the pause above 32 kB a second. */
const BATCH_MAX = 16 * 1024;
/** When more than this waits, the whole log is sent instead. */
const BACKLOG_MAX = 256 * 1024;
/** Between two times that the whole log is sent. */
const WHOLE_EVERY_MS = 10_000;
/** Between the end of the engine's stream and the next, as long as nobody says that the algorithm has ended. */
const FOLLOW_PAUSE_MS = 2000;

/**
 * Sends the log of an algorithm while it runs, as `algorithm_log` events (vantage6 4.11). Nobody acknowledges these. So when the
 * connection is another one than before, what arrived is not known, and the whole log replaces what the server has: no line is
 * lost or doubled. The log that the end of a run brings replaces it once more.
 */
export class LogStream {
  readonly #deps: LogStreamDeps;
  readonly #of: StreamedRun;
  readonly #over = new AbortController();
  #lines: string[] = [];
  #size = 0;
  /** Number of the first line that is kept, and of the first that the server has not: both only ever grow. */
  #first = 0;
  #sentUpTo = 0;
  /** How often the engine's log was read from its start. */
  #readings = 0;
  /** The connection over which they went; undefined: the server's log is not known. */
  #connection: number | undefined;
  #wholeAt = Number.NEGATIVE_INFINITY;
  #working: Promise<unknown> = Promise.resolve();

  constructor(deps: LogStreamDeps, of: StreamedRun) {
    this.#deps = deps;
    this.#of = of;
    const { connected, connection } = deps.events;
    if (connected && !of.isContinued) this.#connection = connection;
  }

  start(): void {
    const { signal } = this.#over;
    void this.#follow(signal);
    this.#working = this.#send(signal);
  }

  /** Sends nothing more. Resolves when nothing is under way to the server; what the engine still owes is waited for by nobody. */
  async stop(): Promise<void> {
    this.#over.abort(new Error('the algorithm has ended'));
    await this.#working;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { engine, clock, logger } = this.#deps;
    for (;;) {
      const redactor = new LineRedactor(this.#of.token);
      try {
        for await (const chunk of engine.containers.followLogs(this.#of.container, signal))
          this.#take(redactor.push(chunk));
      } catch (error) {
        if (!signal.aborted) logger.debug('The log of a run cannot be followed', { error });
      }
      await clock.sleep(FOLLOW_PAUSE_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      // The engine begins at the start again.
      this.#forget();
    }
  }

  #take(lines: readonly string[]): void {
    for (const line of lines) {
      this.#lines.push(line);
      this.#size += line.length + 1;
    }
    while (this.#size > LOG_MAX_BYTES && this.#lines.length > 1) {
      this.#size -= (this.#lines.shift() ?? '').length + 1;
      this.#first += 1;
    }
    // Lines went before they were sent: the server gets the rest as a whole.
    if (this.#sentUpTo < this.#first) this.#connection = undefined;
  }

  #forget(): void {
    this.#first += this.#lines.length;
    this.#lines = [];
    this.#size = 0;
    this.#readings += 1;
    this.#connection = undefined;
  }

  async #send(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#deps.clock.sleep(FLUSH_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      await this.#flush(signal);
    }
  }

  async #flush(signal: AbortSignal): Promise<void> {
    const { connected, connection } = this.#deps.events;
    if (!connected || this.#lines.length === 0) return;
    if (connection !== this.#connection || this.#backlog() > BACKLOG_MAX) {
      await this.#sendWhole(connection, signal);
      return;
    }
    const batch = this.#nextBatch();
    if (batch.length === 0) return;
    const { identity, events } = this.#deps;
    const { run, task } = this.#of;
    events.emitLog({
      collaboration_id: identity.collaboration,
      run_id: run,
      task_id: task,
      log: batch.join('\n'),
    });
    this.#sentUpTo += batch.length;
  }

  #waiting(): readonly string[] {
    return this.#lines.slice(Math.max(0, this.#sentUpTo - this.#first));
  }

  #backlog(): number {
    return this.#waiting().reduce((sum, { length }) => sum + length + 1, 0);
  }

  /** One line at least. */
  #nextBatch(): readonly string[] {
    let size = 0;
    const waiting = this.#waiting();
    const end = waiting.findIndex((line, at) => {
      size += line.length + 1;
      return at > 0 && size > BATCH_MAX;
    });
    return end < 0 ? waiting : waiting.slice(0, end);
  }

  /** A failure changes nothing: it is tried again. */
  async #sendWhole(connection: number, signal: AbortSignal): Promise<void> {
    const { runs, clock, logger } = this.#deps;
    const now = clock.now().getTime();
    if (now - this.#wholeAt < WHOLE_EVERY_MS) return;
    this.#wholeAt = now;
    const { run, head } = this.#of;
    const upTo = this.#first + this.#lines.length;
    const reading = this.#readings;
    const log = [...(head === '' ? [] : [head]), ...this.#lines].join('\n');
    try {
      await runs.patch(run, { log }, signal);
      if (reading !== this.#readings) return;
      this.#connection = connection;
      this.#sentUpTo = upTo;
    } catch (error) {
      if (signal.aborted) return;
      logger.debug('The log of a run could not be sent', {
        run,
        ...(isV6Error(error) ? { code: error.code } : {}),
      });
    }
  }
}
