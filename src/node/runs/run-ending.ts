import { toV6Error, type V6Error } from '../../core/errors.ts';
import { redactText } from '../../core/redact.ts';
import type { EndStatus } from '../interfaces/run-files.ts';

/**
 * Why a run is ended from outside. `closed`: the server holds it for ended already, so it is told nothing. `engine-stopped`:
 * the engine goes and ends the algorithm. `left`: only the daemon goes, and the next one carries on.
 */
export type StopCause = 'killed' | 'closed' | 'stopped' | 'engine-stopped' | 'left';

/** The reason of the signal that ends a run. */
export class RunStopped extends Error {
  readonly stop: StopCause;
  constructor(cause: StopCause) {
    super(`the run was ended: ${cause}`);
    this.stop = cause;
  }
}

/** A step of the start that failed, with the status that upstream has for it. */
export class RunRefused extends Error {
  readonly status: EndStatus;
  readonly error: V6Error;
  constructor(status: EndStatus, cause: unknown) {
    super(status, { cause });
    this.status = status;
    this.error = toV6Error(cause);
  }
}

/** What is told to the server once, at the end. */
export interface RunEnding {
  readonly status: EndStatus;
  readonly log: string;
  /** What the algorithm wrote. */
  readonly payload?: Uint8Array;
  readonly finishedAt: Date;
}

/** Bytes of log that are sent at most: its end. */
export const LOG_MAX_BYTES = 1024 * 1024;

/** The log of a run as others may read it: our notes first, the end of the algorithm's own, no tokens. */
export function renderLog(notes: readonly string[], output: string, token?: string): string {
  const clean = redactText(
    token === undefined || token === '' ? output : output.replaceAll(token, '[token]'),
  );
  const head = notes.map((note) => `${redactText(note)}\n`).join('');
  const bytes = Buffer.from(clean);
  const room = Math.max(0, LOG_MAX_BYTES - Buffer.byteLength(head));
  if (bytes.byteLength <= room) return head + clean;
  // A character that is cut at the front becomes a replacement sign.
  return `${head}${bytes.subarray(bytes.byteLength - room).toString('utf8')}`;
}

/** One line for the log of a run that failed: code, sentence, next steps. */
export function failureNote(error: V6Error): string {
  const hints = error.hints.map((hint) => `\n  → ${hint}`).join('');
  return `${error.code}: ${error.message}${hints}`;
}
