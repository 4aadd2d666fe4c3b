import { ERROR_CATALOGUE, type ErrorCode, V6Error } from '../../core/errors.ts';
import type { Verdict } from '../../core/protocol/daemon.ts';
import { isRecord } from '../../core/protocol/json.ts';

/** What a daemon said that ended by itself. */
export interface DaemonEnd {
  readonly name: string;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** The engine's own reason, when the container could not run. */
  readonly engineError: string;
  /** Its output, or the last part of it. */
  readonly log: string;
}

/**
 * The failure that ended a daemon, as it said it itself: the last error with a code in its output (as the command line prints
 * errors, or a line of its log). Without one, V6_NODE_NOT_READY with the last lines.
 */
export function daemonFailure(end: DaemonEnd): V6Error {
  const said = lastPrinted(end.log) ?? lastLogged(end.log);
  if (said !== undefined) {
    return new V6Error(said.code, said.message, {
      hints: said.hints,
      details: { node: end.name, exitCode: end.exitCode },
    });
  }
  const last = end.log.trim().split('\n').slice(-3).join(' | ').slice(-500);
  const why = end.oomKilled ? 'out of memory' : end.engineError || last || 'it said nothing';
  return new V6Error(
    'V6_NODE_NOT_READY',
    `The node ${end.name} ended at once with status ${end.exitCode}: ${why}`,
    {
      hints: ['Run it in the foreground to see more: v6 node run', 'See also: docker info'],
      details: { node: end.name, exitCode: end.exitCode },
    },
  );
}

/** Fields of a log line that say what a warning is about. */
const SUBJECTS = ['subnet', 'network', 'reason', 'hint'] as const;

/** What a daemon warned of while it started, by code, each once, without what its verdict about the VPN says anyway. */
export function daemonWarnings(
  log: string,
  verdict: Verdict,
): readonly NonNullable<Verdict['warning']>[] {
  const found = new Map<string, NonNullable<Verdict['warning']>>();
  for (const line of log.split(/\r?\n/)) {
    const { level, code, message, ...fields } = fieldsOf(line) ?? {};
    if (level !== 'warn' || !isCode(code) || code === verdict.warning?.code) continue;
    const about = SUBJECTS.flatMap((name) =>
      typeof fields[name] === 'string' ? [`${name} ${fields[name]}`] : [],
    );
    const sentence = [String(message), ...about].join(', ');
    found.set(`${code} ${sentence}`, { code, message: sentence, hints: [] });
  }
  return [...found.values()];
}

interface Said {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hints: readonly string[];
}

/** `Error CODE: message`, and below it lines with an arrow (src/cli/base-command.ts). */
function lastPrinted(log: string): Said | undefined {
  const lines = log.split(/\r?\n/);
  const at = lines.findLastIndex((line) => isCode(/^Error (V6_\w+): /.exec(line)?.[1]));
  const [, code, message = ''] = /^Error (V6_\w+): (.*)$/.exec(lines[at] ?? '') ?? [];
  if (!isCode(code)) return undefined;
  const after = lines.slice(at + 1);
  const end = after.findIndex((line) => !/^\s+→ /.test(line));
  const hints = after.slice(0, end === -1 ? undefined : end);
  return { code, message, hints: hints.map((hint) => hint.replace(/^\s+→ /, '')) };
}

/** JSON lines of the daemon's logger. */
function lastLogged(log: string): Said | undefined {
  for (const line of log.split(/\r?\n/).toReversed()) {
    const fields = fieldsOf(line);
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

function fieldsOf(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_CATALOGUE, value);
}
