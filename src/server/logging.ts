import pino, { type DestinationStream } from 'pino';
import type { LogFields, Logger } from '../core/logger.ts';
import { redact, redactText } from '../core/redact.ts';

/** JSON lines with level, time, message and fields, without secrets. They go to stderr: stdout is for results. */
export function createServerLogger(
  level: 'debug' | 'info' | 'warn' | 'error',
  destination: DestinationStream = pino.destination({ dest: 2, sync: true }),
): Logger {
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  const write =
    (to: (typeof log)['info']) =>
    (message: string, fields: LogFields = {}) =>
      to.call(log, redact(fields) as object, redactText(message));
  return {
    debug: write(log.debug.bind(log)),
    info: write(log.info.bind(log)),
    warn: write(log.warn.bind(log)),
    error: write(log.error.bind(log)),
  };
}
