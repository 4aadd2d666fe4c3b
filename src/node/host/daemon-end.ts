import { V6Error } from '../../core/errors.ts';
import type { Verdict } from '../../core/protocol/daemon.ts';
import { isCode, logFields, saidFailure } from '../../core/said-failure.ts';

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
  const said = saidFailure(end.log);
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
    const { level, code, message, ...fields } = logFields(line) ?? {};
    if (level !== 'warn' || !isCode(code) || code === verdict.warning?.code) continue;
    const about = SUBJECTS.flatMap((name) =>
      typeof fields[name] === 'string' ? [`${name} ${fields[name]}`] : [],
    );
    const sentence = [String(message), ...about].join(', ');
    found.set(`${code} ${sentence}`, { code, message: sentence, hints: [] });
  }
  return [...found.values()];
}
