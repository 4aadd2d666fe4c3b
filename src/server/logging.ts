import pino, { type DestinationStream } from 'pino';
import type { LogFields, Logger } from '../core/logger.ts';
import { redact, redactText } from '../core/redact.ts';

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/**
 * JSON lines with level, time, message and fields, without secrets. They go to stderr: stdout is for results. Whatever a caller
 * sends stays inside one string of one line: JSON escapes line ends and controls below 32, and we the rest that terminals and
 * programs take for controls or line ends.
 */
export function createServerLogger(
  level: (typeof LEVELS)[number],
  destination: DestinationStream = pino.destination({ dest: 2, sync: true }),
): Logger {
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => destination.write(escapeControls(line)) },
  );
  const write =
    (at: (typeof LEVELS)[number]) =>
    (message: string, fields: LogFields = {}): void => {
      // Looking for secrets costs more than writing: not for lines that nobody wants.
      if (log.isLevelEnabled(at)) log[at](redact(fields) as object, redactText(message));
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
  };
}

/** C1 controls (some terminals obey them), bidirectional marks, and the line ends of Unicode. */
const CONTROLS = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Inside a JSON line all of them can only stand in strings, where an escape means the same. */
const escapeControls = (line: string): string =>
  line.replaceAll(CONTROLS, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
