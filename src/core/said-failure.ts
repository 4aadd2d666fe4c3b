import { ERROR_CATALOGUE, type ErrorCode } from './errors.ts';
import { isRecord } from './protocol/json.ts';

/** A failure as one of our programs wrote it to its output. */
export interface SaidFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hints: readonly string[];
}

/**
 * The last failure with a code in the output of one of our programs: as the command line prints errors, or a line of its log.
 * Undefined when there is none.
 */
export function saidFailure(output: string): SaidFailure | undefined {
  return lastPrinted(output) ?? lastLogged(output);
}

/** `Error CODE: message`, and below it lines with an arrow (src/cli/base-command.ts). */
function lastPrinted(log: string): SaidFailure | undefined {
  const lines = log.split(/\r?\n/);
  const at = lines.findLastIndex((line) => isCode(/^Error (V6_\w+): /.exec(line)?.[1]));
  const [, code, message = ''] = /^Error (V6_\w+): (.*)$/.exec(lines[at] ?? '') ?? [];
  if (!isCode(code)) return undefined;
  const after = lines.slice(at + 1);
  const end = after.findIndex((line) => !/^\s+→ /.test(line));
  const hints = after.slice(0, end === -1 ? undefined : end);
  return { code, message, hints: hints.map((hint) => hint.replace(/^\s+→ /, '')) };
}

/** JSON lines of a logger. */
function lastLogged(log: string): SaidFailure | undefined {
  for (const line of log.split(/\r?\n/).toReversed()) {
    const fields = logFields(line);
    const error = isRecord(fields?.error) ? fields.error : {};
    const code = fields?.code ?? error.code;
    if (fields?.level !== 'error' || !isCode(code)) continue;
    const message = [error.message, fields.reason, fields.message].find(
      (text) => typeof text === 'string',
    );
    return { code, message: typeof message === 'string' ? message : code, hints: [] };
  }
  return undefined;
}

/** The fields of one JSON line of a log; undefined for any other line. */
export function logFields(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** True for a code of the catalogue. */
export function isCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_CATALOGUE, value);
}
