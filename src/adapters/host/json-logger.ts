import { pino } from 'pino';
import type { LogFields, Logger } from '../../core/logger.ts';
import { redact, redactText } from '../../core/redact.ts';

export interface JsonLoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** In every line, e.g. `{node: 'alpha'}`. */
  readonly base: LogFields;
  /** File descriptor; 2 (stderr) unless said otherwise: stdout is for results. */
  readonly fd?: number;
}

/** JSON lines, each without secrets: by the names of fields and by their look. */
export function createJsonLogger({ level, base, fd = 2 }: JsonLoggerOptions): Logger {
  const log = pino(
    {
      level,
      base: { ...base },
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd, sync: true }),
  );
  const line =
    (at: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields: LogFields = {}): void => {
      log[at](redact(fields), redactText(message));
    };
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}
